// Package gate refuses as often as it was told to: an activity that fails first and passes when it is run again.
package gate

import (
	"fmt"

	"github.com/project-flogo/core/activity"
	"github.com/project-flogo/core/data/coerce"
)

func init() {
	_ = activity.Register(&Activity{})
}

// Input names the gate.
type Input struct {
	Name string `md:"name"`
}

// Output says that the gate let it pass.
type Output struct {
	Passed bool `md:"passed"`
}

var metadata = activity.ToMetadata(&Input{}, &Output{})

// Activity is the activity itself; it has no settings.
type Activity struct{}

// Metadata names the input and the output.
func (*Activity) Metadata() *activity.Metadata { return metadata }

// Eval passes, or fails with an error that may be tried again.
func (*Activity) Eval(ctx activity.Context) (bool, error) {
	name, err := coerce.ToString(ctx.GetInput("name"))
	if err != nil {
		return false, err
	}
	if refuses(name) {
		closed := fmt.Sprintf("gate '%s' is closed", name)
		return false, activity.NewRetriableError(closed, "GATE-1", map[string]interface{}{"gate": name})
	}
	return true, ctx.SetOutput("passed", true)
}
