// Package calc multiplies: an activity with two outputs, one of them an object.
package calc

import (
	"github.com/project-flogo/core/activity"
	"github.com/project-flogo/core/data/coerce"
)

func init() {
	_ = activity.Register(&Activity{})
}

// Input is what is multiplied.
type Input struct {
	Value  float64 `md:"value"`
	Factor float64 `md:"factor"`
}

// FromMap reads the inputs of a task.
func (i *Input) FromMap(values map[string]interface{}) error {
	var err error
	if i.Value, err = coerce.ToFloat64(values["value"]); err != nil {
		return err
	}
	i.Factor, err = coerce.ToFloat64(values["factor"])
	return err
}

// ToMap is the reverse of FromMap.
func (i *Input) ToMap() map[string]interface{} {
	return map[string]interface{}{"value": i.Value, "factor": i.Factor}
}

// Output is the product, and what it was made of.
type Output struct {
	Result float64                `md:"result"`
	Detail map[string]interface{} `md:"detail"`
}

var metadata = activity.ToMetadata(&Input{}, &Output{})

// Activity is the activity itself; it has no settings.
type Activity struct{}

// Metadata names the inputs and outputs.
func (*Activity) Metadata() *activity.Metadata { return metadata }

// Eval multiplies.
func (*Activity) Eval(ctx activity.Context) (bool, error) {
	input := &Input{}
	if err := ctx.GetInputObject(input); err != nil {
		return false, err
	}
	if err := ctx.SetOutput("result", input.Value*input.Factor); err != nil {
		return false, err
	}
	return true, ctx.SetOutput("detail", input.ToMap())
}
