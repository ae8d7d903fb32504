// Package throw fails: an activity that always ends in an error.
package throw

import (
	"github.com/project-flogo/core/activity"
	"github.com/project-flogo/core/data/coerce"
)

func init() {
	_ = activity.Register(&Activity{})
}

// Input is what the error says.
type Input struct {
	Message string `md:"message"`
}

var metadata = activity.ToMetadata(&Input{})

// Activity is the activity itself; it has no settings.
type Activity struct{}

// Metadata names the input.
func (*Activity) Metadata() *activity.Metadata { return metadata }

// Eval fails with the message.
func (*Activity) Eval(ctx activity.Context) (bool, error) {
	message, err := coerce.ToString(ctx.GetInput("message"))
	if err != nil {
		return false, err
	}
	return false, activity.NewError(message, "THROW-1", map[string]interface{}{})
}
