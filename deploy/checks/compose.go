package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// compose loads a file as Docker Compose does: its schema, its variables, what services and volumes it names. What a service
// takes from the host has to be there, and program has to understand the services that are built.
func compose(program, file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithName("check"), cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	built := 0
	for _, service := range project.Services {
		if err := onHost(service); err != nil {
			return fmt.Errorf("%s: %s: %w", file, service.Name, err)
		}
		if service.Build == nil {
			continue
		}
		built++
		if err := understood(program, service); err != nil {
			return fmt.Errorf("%s: %s: %w", file, service.Name, err)
		}
	}
	fmt.Printf("%s: %d services, of which %d run %s\n", file, len(project.Services), built, filepath.Base(program))
	return nil
}

func onHost(service types.ServiceConfig) error {
	if service.Image == "" && service.Build == nil {
		return errors.New("there is neither an image nor a build")
	}
	if service.Build != nil {
		dockerfile := service.Build.Dockerfile
		if !filepath.IsAbs(dockerfile) {
			dockerfile = filepath.Join(service.Build.Context, dockerfile)
		}
		if _, err := os.Stat(dockerfile); err != nil {
			return err
		}
	}
	for _, volume := range service.Volumes {
		if volume.Type != types.VolumeTypeBind {
			continue
		}
		if _, err := os.Stat(volume.Source); err != nil {
			return err
		}
	}
	return nil
}

// understood says whether the program knows the command and the settings of a service.
func understood(program string, service types.ServiceConfig) error {
	settings := []string{}
	for name, value := range service.Environment {
		if value == nil {
			return fmt.Errorf("%s has no value", name)
		}
		settings = append(settings, name+"="+*value)
	}
	// Help is shown for a command line that is right as far as it goes.
	for _, arguments := range [][]string{append(service.Command, "--help"), {"config", "check"}} {
		command := exec.Command(program, arguments...)
		command.Env, command.Dir = settings, os.TempDir()
		if said, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", arguments, err, said)
		}
	}
	return nil
}
