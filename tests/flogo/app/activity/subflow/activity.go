// Package subflow calls another flow: within the instance and waited for, or detached as an instance of its own.
package subflow

import (
	"sync"

	"github.com/project-flogo/core/activity"
	"github.com/project-flogo/core/data/metadata"
	"github.com/project-flogo/flow/instance"
)

func init() {
	_ = activity.Register(&Activity{}, New)
}

// Settings say which flow is called, and how.
type Settings struct {
	FlowURI  string `md:"flowURI,required"`
	Detached bool   `md:"detached"`
}

// Activity is a call of one flow.
type Activity struct {
	settings Settings
	metadata *activity.Metadata
	once     sync.Once
}

// New makes the activity of a task.
func New(ctx activity.InitContext) (activity.Activity, error) {
	called := &Activity{}
	if err := metadata.MapToStruct(ctx.Settings(), &called.settings, true); err != nil {
		return nil, err
	}
	// Empty until it is asked for: the flow that is called may not be loaded yet.
	called.metadata = activity.ToMetadata(&Settings{})
	return called, nil
}

// Metadata takes inputs and outputs from the flow that is called; a detached one gives nothing back.
func (a *Activity) Metadata() *activity.Metadata {
	if a.metadata == nil {
		return activity.ToMetadata(&Settings{})
	}
	return a.metadata
}

// Eval starts the flow. It is done at once if that runs by itself.
func (a *Activity) Eval(ctx activity.Context) (bool, error) {
	flow, err := instance.GetFlowIOMetadata(a.settings.FlowURI)
	if err != nil {
		return false, err
	}
	a.once.Do(func() {
		if !a.settings.Detached {
			a.metadata.IOMetadata = flow
		}
	})
	inputs := make(map[string]interface{}, len(flow.Input))
	for name := range flow.Input {
		inputs[name] = ctx.GetInput(name)
	}
	if a.settings.Detached {
		return true, instance.StartDetachedSubFlow(ctx, a.settings.FlowURI, inputs)
	}
	return false, instance.StartSubFlow(ctx, a.settings.FlowURI, inputs)
}
