package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// objects holds every object of the files to the schema of its kind, and to what is wanted of this chart. A kind without a
// schema is an error, and so is a file without an object, or two objects of one kind and name.
func objects(schemas string, files []string) error {
	for _, file := range files {
		found, err := read(file)
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, object := range found {
			kind, name := described(object)
			if seen[kind+"/"+name] {
				return fmt.Errorf("%s: there are two of %s %s", file, kind, name)
			}
			seen[kind+"/"+name] = true
			schema, err := jsonschema.NewCompiler().Compile(filepath.Join(schemas, strings.ToLower(kind)+".json"))
			if err != nil {
				return fmt.Errorf("%s: %s %s: %w", file, kind, name, err)
			}
			if err := schema.Validate(object); err != nil {
				return fmt.Errorf("%s: %s %s: %w", file, kind, name, err)
			}
			if err := errors.Join(labelled(object), hardened(object)); err != nil {
				return fmt.Errorf("%s: %s %s: %w", file, kind, name, err)
			}
		}
		if err := connected(found); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Printf("%s: %d objects\n", file, len(found))
	}
	return nil
}

// labelled says whether an object has the labels by which Kubernetes' tools know what belongs together.
func labelled(object any) error {
	labels, _ := at(object, "metadata", "labels").(map[string]any)
	for _, name := range []string{"name", "instance", "version", "managed-by"} {
		if labels["app.kubernetes.io/"+name] == nil {
			return fmt.Errorf("there is no label app.kubernetes.io/%s", name)
		}
	}
	return nil
}

// environment prints the variables of an object's first container as lines of NAME=VALUE.
func environment(file, kind, name string) error {
	object, err := one(file, kind, name)
	if err != nil {
		return err
	}
	containers := list(object, "spec", "template", "spec", "containers")
	if len(containers) == 0 {
		return fmt.Errorf("%s %s has no container", kind, name)
	}
	for _, variable := range list(containers[0], "env") {
		fmt.Printf("%s=%s\n", at(variable, "name"), at(variable, "value"))
	}
	return nil
}

// field prints a field of an object.
func field(file, kind, name string, path []string) error {
	object, err := one(file, kind, name)
	if err != nil {
		return err
	}
	value := at(object, path...)
	if value == nil {
		return fmt.Errorf("%s %s has no %s", kind, name, strings.Join(path, " "))
	}
	fmt.Print(value)
	return nil
}

func one(file, kind, name string) (any, error) {
	found, err := read(file)
	if err != nil {
		return nil, err
	}
	for _, object := range found {
		if k, n := described(object); k == kind && n == name {
			return object, nil
		}
	}
	return nil, fmt.Errorf("%s has no %s %s", file, kind, name)
}

func read(file string) ([]any, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var found []any
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		json, err := yaml.ToJSON(document)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		object, err := jsonschema.UnmarshalJSON(bytes.NewReader(json))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if object != nil {
			found = append(found, object)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no objects", file)
	}
	return found, nil
}

func described(object any) (kind, name string) {
	kind, _ = at(object, "kind").(string)
	name, _ = at(object, "metadata", "name").(string)
	return kind, name
}

func at(object any, path ...string) any {
	for _, name := range path {
		fields, _ := object.(map[string]any)
		object = fields[name]
	}
	return object
}
