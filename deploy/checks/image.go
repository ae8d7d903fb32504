package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// stage is a stage of a Dockerfile, as far as it has been run.
type stage struct {
	// root stands for the / of the container, but for commands, which see the machine's.
	root       string
	folder     string
	variables  map[string]string
	user       string
	entrypoint []string
}

// image runs the stages of a Dockerfile in order: files are copied below scratch, commands are run in the folder that stands
// for their WORKDIR, by the machine's own programs. Then it looks at what the last stage would run, and as whom.
//
// Files are taken from context; values of ARG may be given as NAME=VALUE.
func image(context, dockerfile, scratch string, given []string) error {
	file, err := os.Open(dockerfile)
	if err != nil {
		return err
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		return fmt.Errorf("%s: %w", dockerfile, err)
	}
	stages, global, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", dockerfile, err)
	}
	arguments := map[string]string{}
	for _, argument := range given {
		name, value, _ := strings.Cut(argument, "=")
		arguments[name] = value
	}
	defaults := map[string]string{}
	for _, command := range global {
		declare(defaults, command.Args, arguments)
	}

	builder := builder{context: context, arguments: arguments, defaults: defaults, done: map[string]*stage{}}
	var last *stage
	for number, written := range stages {
		base, err := expander(defaults)(written.BaseName)
		if err != nil {
			return err
		}
		name := written.Name
		if name == "" {
			name = strconv.Itoa(number)
		}
		fmt.Printf("stage %s, from %s\n", name, base)
		last = &stage{root: filepath.Join(scratch, name), folder: "/", variables: map[string]string{}}
		if err := os.MkdirAll(last.root, 0o755); err != nil {
			return err
		}
		for _, command := range written.Commands {
			if err := builder.run(last, command); err != nil {
				return fmt.Errorf("%s, stage %s, %s: %w", dockerfile, name, command.Name(), err)
			}
		}
		builder.done[name] = last
	}
	return judge(last)
}

type builder struct {
	context   string
	arguments map[string]string
	defaults  map[string]string
	done      map[string]*stage
}

func (b *builder) run(s *stage, command instructions.Command) error {
	if expandable, ok := command.(instructions.SupportsSingleWordExpansion); ok {
		if err := expandable.Expand(expander(s.variables)); err != nil {
			return err
		}
	}
	switch c := command.(type) {
	case *instructions.ArgCommand:
		// An ARG before the first FROM is known to a stage that names it again.
		known := maps.Clone(b.defaults)
		maps.Copy(known, b.arguments)
		declare(s.variables, c.Args, known)
	case *instructions.EnvCommand:
		for _, pair := range c.Env {
			s.variables[pair.Key] = pair.Value
		}
	case *instructions.WorkdirCommand:
		s.folder = s.absolute(c.Path)
		return os.MkdirAll(filepath.Join(s.root, s.folder), 0o755)
	case *instructions.CopyCommand:
		return b.copy(s, c)
	case *instructions.RunCommand:
		return s.execute(c)
	case *instructions.UserCommand:
		s.user = c.User
	case *instructions.EntrypointCommand:
		if c.PrependShell {
			return errors.New("want the form of a list: signals don't get past a shell")
		}
		s.entrypoint = c.CmdLine
	case *instructions.LabelCommand, *instructions.ExposeCommand, *instructions.CmdCommand:
	default:
		return errors.New("not known to this check; teach it, or do without")
	}
	return nil
}

func (b *builder) copy(s *stage, c *instructions.CopyCommand) error {
	from := b.context
	if c.From != "" {
		earlier, ok := b.done[c.From]
		if !ok {
			return fmt.Errorf("there is no stage %s", c.From)
		}
		from = earlier.root
	}
	target := filepath.Join(s.root, s.absolute(c.DestPath))
	intoFolder := strings.HasSuffix(c.DestPath, "/") || len(c.SourcePaths) > 1
	for _, pattern := range c.SourcePaths {
		sources, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil || len(sources) == 0 {
			return fmt.Errorf("there is no %s (%w)", pattern, err)
		}
		for _, source := range sources {
			if err := copyTo(source, target, intoFolder); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyTo copies a file, or what a folder holds, as COPY does. What lay there before is gone. Times stay, so that a compiler sees
// what has not changed since it was last here.
func copyTo(source, target string, intoFolder bool) error {
	about, err := os.Stat(source)
	if err != nil {
		return err
	}
	if intoFolder && !about.IsDir() {
		target = filepath.Join(target, filepath.Base(source))
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return exec.Command("cp", "-Rp", source, target).Run()
}

func (s *stage) execute(c *instructions.RunCommand) error {
	if !c.PrependShell || len(c.Files) > 0 {
		return errors.New("want one command line")
	}
	line := strings.Join(c.CmdLine, " ")
	fmt.Println("  " + line)
	command := exec.Command("/bin/sh", "-ec", line)
	command.Dir = filepath.Join(s.root, s.folder)
	command.Env = os.Environ()
	for name, value := range s.variables {
		command.Env = append(command.Env, name+"="+value)
	}
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}

func (s *stage) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.folder, path)
}

// declare adds what ARG declares, with the values that are known, else with its defaults.
func declare(variables map[string]string, declared []instructions.KeyValuePairOptional, known map[string]string) {
	for _, argument := range declared {
		if value, ok := known[argument.Key]; ok {
			variables[argument.Key] = value
		} else if argument.Value != nil {
			variables[argument.Key] = *argument.Value
		}
	}
}

func expander(variables map[string]string) instructions.SingleWordExpander {
	pairs := []string{}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		pairs = append(pairs, name+"="+variables[name])
	}
	return func(word string) (string, error) {
		expanded, _, err := shell.NewLex('\\').ProcessWord(word, shell.EnvsFromSlice(pairs))
		return expanded, err
	}
}
