package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
)

// compose loads each file as Docker Compose does: its schema, its variables, what services and volumes it names. What a
// service takes from the host has to be there.
func compose(files []string) error {
	for _, file := range files {
		options, err := cli.NewProjectOptions([]string{file}, cli.WithName("check"), cli.WithProfiles([]string{"*"}))
		if err != nil {
			return err
		}
		project, err := options.LoadProject(context.Background())
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, service := range project.Services {
			if service.Image == "" && service.Build == nil {
				return fmt.Errorf("%s: %s has neither an image nor a build", file, service.Name)
			}
			if service.Build != nil {
				dockerfile := service.Build.Dockerfile
				if !filepath.IsAbs(dockerfile) {
					dockerfile = filepath.Join(service.Build.Context, dockerfile)
				}
				if _, err := os.Stat(dockerfile); err != nil {
					return fmt.Errorf("%s: %s: %w", file, service.Name, err)
				}
			}
			for _, volume := range service.Volumes {
				if volume.Type != "bind" {
					continue
				}
				if _, err := os.Stat(volume.Source); err != nil {
					return fmt.Errorf("%s: %s: %w", file, service.Name, err)
				}
			}
		}
		fmt.Printf("%s: %d services\n", file, len(project.Services))
	}
	return nil
}
