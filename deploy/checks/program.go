package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// provided is what gcr.io/distroless/cc-debian12 has of libraries that a program in Rust may ask for.
var provided = []string{"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}

// glibc is the version of Debian 12's, 2.36.
const glibc = 36

// judge looks at a stage as the one that is run: whether its user is not root, and whether its program starts with nothing
// but what the base image has.
func judge(s *stage) error {
	user, _, _ := strings.Cut(s.user, ":")
	number, err := strconv.Atoi(user)
	if err != nil || number == 0 {
		return fmt.Errorf("USER is %q, want a number that is not root's", s.user)
	}
	if len(s.entrypoint) == 0 {
		return errors.New("there is no ENTRYPOINT")
	}
	program := filepath.Join(s.root, s.entrypoint[0])
	about, err := os.Stat(program)
	if err != nil {
		return err
	}
	if err := needsNoMore(program); err != nil {
		return err
	}
	version, err := exec.Command(program, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", program, err)
	}
	fmt.Printf("user %s runs %s of %.1f MB: %s", s.user, s.entrypoint[0], float64(about.Size())/1e6, version)
	return nil
}

func needsNoMore(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, library := range libraries {
		if !slices.Contains(provided, library) {
			return fmt.Errorf("it needs %s, which the base image lacks", library)
		}
	}
	symbols, err := file.ImportedSymbols()
	if err != nil {
		return err
	}
	for _, symbol := range symbols {
		minor, found := strings.CutPrefix(symbol.Version, "GLIBC_2.")
		if !found {
			continue
		}
		minor, _, _ = strings.Cut(minor, ".")
		if number, err := strconv.Atoi(minor); err == nil && number > glibc {
			return fmt.Errorf("%s is of glibc 2.%d, and the base image has 2.%d", symbol.Name, number, glibc)
		}
	}
	fmt.Printf("it needs %s\n", strings.Join(libraries, ", "))
	return nil
}
