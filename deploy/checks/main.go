// Checks what deploy/ holds without a container engine and without a cluster. Each command prints what it looked at, and
// ends with 1 and a sentence at the first thing that is wrong.
package main

import (
	"fmt"
	"os"
)

const usage = `checks image FOLDER DOCKERFILE SCRATCH [ARG=VALUE…]   runs the stages of a Dockerfile below SCRATCH
checks compose PROGRAM FILE                           loads the file as Compose does
checks objects SCHEMAS FILE…                          holds Kubernetes objects to the schemas of their kinds
checks environment FILE KIND NAME                     prints the variables of an object's container
checks field FILE KIND NAME PATH…                     prints a field of an object`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) >= 4 && arguments[0] == "image":
		return image(arguments[1], arguments[2], arguments[3], arguments[4:])
	case len(arguments) == 3 && arguments[0] == "compose":
		return compose(arguments[1], arguments[2])
	case len(arguments) >= 3 && arguments[0] == "objects":
		return objects(arguments[1], arguments[2:])
	case len(arguments) == 4 && arguments[0] == "environment":
		return environment(arguments[1], arguments[2], arguments[3])
	case len(arguments) >= 5 && arguments[0] == "field":
		return field(arguments[1], arguments[2], arguments[3], arguments[4:])
	}
	return fmt.Errorf("wrong usage\n%s", usage)
}
