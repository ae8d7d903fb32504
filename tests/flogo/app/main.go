// Command flogo-app is a Flogo app whose flows end in every way that its state service hears of.
//
// It is configured as any Flogo app is: flogo.json and engine.json in the working directory, or where
// FLOGO_CONFIG_PATH and FLOGO_ENG_CONFIG_PATH say, and these variables:
//
//	FLOGO_FLOW_SM_ENDPOINT   base URL of the state service
//	FLOGO_HTTP_SERVICE_PORT  port on 127.0.0.1 for re-runs and for whoever drives the app
//	FLOWS_PORT               port of the flows: POST /<flow> with its inputs
package main

import (
	"fmt"
	"os"

	_ "flowtrail.test/flogo-app/activity/calc"
	_ "flowtrail.test/flogo-app/activity/gate"
	_ "flowtrail.test/flogo-app/activity/subflow"
	_ "flowtrail.test/flogo-app/activity/throw"
	_ "flowtrail.test/flogo-app/control"
	_ "flowtrail.test/flogo-app/recorder"
	_ "github.com/project-flogo/contrib/activity/actreturn"
	_ "github.com/project-flogo/contrib/activity/log"
	_ "github.com/project-flogo/contrib/trigger/rest"
	_ "github.com/project-flogo/core/data/expression/script"
	"github.com/project-flogo/core/engine"
	_ "github.com/project-flogo/flow"
	_ "github.com/project-flogo/flow/tester"
)

func main() {
	app, err := engine.LoadAppConfig("", false)
	if err != nil {
		fail(err)
	}
	flogo, err := engine.New(app, engine.ConfigOption("", false))
	if err != nil {
		fail(err)
	}
	os.Exit(engine.RunEngine(flogo))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "the app does not start:", err)
	os.Exit(1)
}
