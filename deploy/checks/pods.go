package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// hardened says whether the pods that an object makes are as small a target as they can be, and whether a probe looks at
// those that stay. Objects that make no pods are.
func hardened(object any) error {
	pod, makesPods := at(object, "spec", "template", "spec").(map[string]any)
	if !makesPods {
		return nil
	}
	if at(pod, "securityContext", "runAsNonRoot") != true {
		return errors.New("its pods may run as root")
	}
	kind, _ := described(object)
	for _, container := range list(pod, "containers") {
		context := at(container, "securityContext")
		switch {
		case at(context, "readOnlyRootFilesystem") != true:
			return errors.New("its root file system may be written to")
		case at(context, "allowPrivilegeEscalation") != false:
			return errors.New("it may gain privileges")
		case at(container, "resources", "limits", "memory") == nil:
			return errors.New("its memory has no limit")
		case kind != "Job" && (at(container, "livenessProbe") == nil || at(container, "readinessProbe") == nil):
			return errors.New("there is no probe")
		}
		for _, variable := range list(container, "env") {
			if at(variable, "valueFrom", "secretKeyRef") != nil {
				return fmt.Errorf("%s is a secret in the environment", at(variable, "name"))
			}
		}
	}
	return nil
}

// connected says whether what objects name of each other is there: a Service and a budget select pods, a ScaledObject scales
// a Deployment, a pod mounts a ConfigMap.
func connected(found []any) error {
	there := map[string]bool{}
	var pods []map[string]any
	for _, object := range found {
		kind, name := described(object)
		there[kind+" "+name] = true
		if labels, ok := at(object, "spec", "template", "metadata", "labels").(map[string]any); ok {
			pods = append(pods, labels)
		}
	}
	for _, object := range found {
		kind, name := described(object)
		var selector any
		switch kind {
		case "Service":
			selector = at(object, "spec", "selector")
		case "PodDisruptionBudget":
			selector = at(object, "spec", "selector", "matchLabels")
		case "ScaledObject":
			if target := fmt.Sprint("Deployment ", at(object, "spec", "scaleTargetRef", "name")); !there[target] {
				return fmt.Errorf("%s %s scales %s, which is not there", kind, name, target)
			}
		}
		if wanted, ok := selector.(map[string]any); ok && !slices.ContainsFunc(pods, holds(wanted)) {
			return fmt.Errorf("%s %s selects no pod", kind, name)
		}
		for _, volume := range list(at(object, "spec", "template", "spec"), "volumes") {
			config := at(volume, "configMap", "name")
			if config != nil && !there[fmt.Sprint("ConfigMap ", config)] {
				return fmt.Errorf("%s %s mounts ConfigMap %s, which is not there", kind, name, config)
			}
		}
	}
	return nil
}

func holds(wanted map[string]any) func(map[string]any) bool {
	return func(labels map[string]any) bool {
		return len(wanted) > 0 && !slices.ContainsFunc(slices.Collect(maps.Keys(wanted)), func(name string) bool {
			return labels[name] != wanted[name]
		})
	}
}

func list(object any, path ...string) []any {
	items, _ := at(object, path...).([]any)
	return items
}
