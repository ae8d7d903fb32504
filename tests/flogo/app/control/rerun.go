package control

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"flowtrail.test/flogo-app/stateservice"
	"github.com/project-flogo/core/action"
	"github.com/project-flogo/core/engine/runner"
	enginesupport "github.com/project-flogo/core/engine/support"
	"github.com/project-flogo/flow/instance"
	"github.com/project-flogo/flow/model"
	"github.com/project-flogo/flow/state"
)

const flowAction = "github.com/project-flogo/flow"

// rerun runs recorded instances again. Everything it knows of them comes from the state service.
type rerun struct {
	history *stateservice.Client
}

type instanceRestart struct {
	FlowInstanceID string `json:"flowInstanceId"`
}

type taskRestart struct {
	FlowInstanceID string `json:"flowInstanceId"`
	// The number of the step as text.
	TaskStepID string `json:"taskStepId"`
	TaskName   string `json:"taskName"`
	// Inputs of the task that win over what its mapping gives; may be empty.
	Inputs map[string]any `json:"inputs"`
}

// A new instance with the inputs of the recorded one, which it names as its original. Answers when it has ended.
func (r *rerun) fromTheBeginning(request instanceRestart) (any, error) {
	var recorded state.FlowInfo
	if err := r.history.Get(stateservice.Instance(request.FlowInstanceID)+"/details", &recorded); err != nil {
		return nil, err
	}
	return run(recorded.FlowURI, recorded.FlowInputs, &instance.RunOptions{
		Op:                 instance.OpStart,
		ReturnID:           true,
		FlowURI:            recorded.FlowURI,
		OriginalInstanceId: request.FlowInstanceID,
	})
}

// The same instance again from one of its main flow's activities on. Answers when it has ended.
func (r *rerun) fromActivity(request taskRestart) (any, error) {
	step, err := strconv.Atoi(request.TaskStepID)
	if err != nil || step < 1 {
		return nil, fmt.Errorf("no step to run again from: %q", request.TaskStepID)
	}
	before, err := r.stateBefore(request.FlowInstanceID, step)
	if err != nil {
		return nil, err
	}
	initial, err := initialState(before, request)
	if err != nil {
		return nil, err
	}
	path := fmt.Sprintf("%s/step/%d", stateservice.Instance(request.FlowInstanceID), step)
	if err := r.history.Delete(path); err != nil {
		return nil, err
	}
	options := &instance.RunOptions{
		Op:                  instance.OpRestart,
		ReturnID:            true,
		FlowURI:             before.FlowURI,
		PreservedInstanceId: request.FlowInstanceID,
		InitStepId:          step,
		InitialState:        initial,
		Rerun:               true,
		ExecOptions:         overriding(request),
	}
	return run(before.FlowURI, before.Attrs, options)
}

// The state that a step began with. Whether anything is recorded is asked first, as the vendor's app does.
func (r *rerun) stateBefore(id string, step int) (*state.Snapshot, error) {
	path := stateservice.Instance(id) + "/snapshot/"
	var snapshot state.Snapshot
	if err := r.history.Get(path+"0", &snapshot); err != nil {
		return nil, err
	}
	if snapshot.SnapshotBase == nil || len(snapshot.Tasks) == 0 {
		return nil, fmt.Errorf("no step of %s is recorded", id)
	}
	snapshot = state.Snapshot{}
	if err := r.history.Get(path+strconv.Itoa(step-1), &snapshot); err != nil {
		return nil, err
	}
	if snapshot.SnapshotBase == nil || snapshot.FlowURI == "" {
		return nil, fmt.Errorf("the snapshot of %s before step %d names no flow", id, step)
	}
	return &snapshot, nil
}

// The engine takes an initial state as JSON only: its fields are private.
func initialState(before *state.Snapshot, request taskRestart) (*instance.IndependentInstance, error) {
	text, err := json.Marshal(map[string]any{
		"id":      request.FlowInstanceID,
		"flowUri": before.FlowURI,
		"status":  model.FlowStatusActive,
		"attrs":   before.Attrs,
		"tasks":   []any{map[string]any{"id": request.TaskName, "status": model.TaskStatusReady}},
		"workQueue": []any{
			map[string]any{"id": 1, "subFlowId": 0, "taskID": request.TaskName},
		},
	})
	if err != nil {
		return nil, err
	}
	initial := &instance.IndependentInstance{}
	return initial, json.Unmarshal(text, initial)
}

// An interceptor only where there is something to override, and never without coverage, which the engine writes to
// without a look.
func overriding(request taskRestart) *instance.ExecOptions {
	if len(request.Inputs) == 0 {
		return nil
	}
	task := &enginesupport.TaskInterceptor{ID: request.TaskName, Inputs: request.Inputs}
	return &instance.ExecOptions{Interceptor: &enginesupport.Interceptor{
		TaskInterceptors: []*enginesupport.TaskInterceptor{task},
		Coverage:         &enginesupport.Coverage{},
	}}
}

func run(flow string, inputs map[string]any, options *instance.RunOptions) (any, error) {
	flowRun, err := action.GetFactory(flowAction).New(&action.Config{
		Settings: map[string]any{"flowURI": flow},
	})
	if err != nil {
		return nil, err
	}
	given := map[string]any{}
	maps.Copy(given, inputs)
	given["_run_options"] = options
	results, err := runner.NewDirect().RunAction(context.Background(), flowRun, given)
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": results["id"]}, nil
}
