// Package recorder is the service by which the engine tells what flows do.
package recorder

import (
	"encoding/json"
	"fmt"

	"flowtrail.test/flogo-app/stateservice"
	"github.com/project-flogo/core/data/coerce"
	"github.com/project-flogo/core/support/service"
	"github.com/project-flogo/flow/state"
)

func init() {
	_ = service.RegisterFactory(&Factory{})
}

// Factory makes the service from engine.json.
type Factory struct{}

// NewService reads the setting "posting": synchronous (as Flogo's own recorder), asynchronous (as its vendor's), or
// reversed.
func (*Factory) NewService(config *service.Config) (service.Service, error) {
	posting, err := coerce.ToString(config.Settings["posting"])
	if err != nil {
		return nil, err
	}
	client := stateservice.Shared()
	switch posting {
	case "", "synchronous":
		return &Recorder{&synchronous{client}}, nil
	case "asynchronous":
		return &Recorder{newAsynchronous(client)}, nil
	case "reversed":
		return &Recorder{newReversed(client)}, nil
	}
	return nil, fmt.Errorf("posting is synchronous, asynchronous or reversed, not %q", posting)
}

// A way to send what the engine says. Bodies are JSON already: the engine goes on to change what they were made from.
type posting interface {
	start(instance string, body []byte) error
	step(instance string, body []byte) error
	snapshot(instance string, body []byte) error
	end(instance string, body []byte) error
	// Waits until everything has been sent.
	flush()
}

// Recorder implements state.Recorder.
type Recorder struct {
	posting posting
}

var _ state.Recorder = &Recorder{}

// Name is the service's name in the engine.
func (*Recorder) Name() string { return "FlowRecorder" }

// Start has nothing to do: the first request opens the connection.
func (*Recorder) Start() error { return nil }

// Stop waits until everything has been sent.
func (r *Recorder) Stop() error {
	r.posting.flush()
	return nil
}

// RecordStart sends the start of a flow.
func (r *Recorder) RecordStart(flow *state.FlowState) error {
	body, err := json.Marshal(flow)
	if err != nil {
		return err
	}
	return r.posting.start(flow.FlowInstanceId, body)
}

// RecordStep sends a step, which has ended.
func (r *Recorder) RecordStep(step *state.Step) error {
	body, err := json.Marshal(step)
	if err != nil {
		return err
	}
	return r.posting.step(step.FlowId, body)
}

// RecordSnapshot sends the state of an instance.
func (r *Recorder) RecordSnapshot(snapshot *state.Snapshot) error {
	body, err := json.Marshal(snapshot)
	if err != nil {
		return err
	}
	return r.posting.snapshot(snapshot.Id, body)
}

// RecordDone sends the end of a flow.
func (r *Recorder) RecordDone(flow *state.FlowState) error {
	body, err := json.Marshal(flow)
	if err != nil {
		return err
	}
	return r.posting.end(flow.FlowInstanceId, body)
}
