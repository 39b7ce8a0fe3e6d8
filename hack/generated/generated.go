// Package generated replaces generated files and folders in the repository, or checks that they are up to date.
package generated

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Make calls generate, which writes the paths into a temporary folder. It then replaces the paths in out by
// the generated ones. If check is set, Make changes nothing. It then returns an error with the paths that are
// not up to date, and the make target that updates them. The parameter what is a phrase for the
// generated paths in messages.
func Make(what, target, out string, check bool, generate func(dir string) error, paths ...string) error {
	scratch, err := os.MkdirTemp("", "lbstack-"+target+"-")
	if err != nil {
		return fmt.Errorf("making a folder for %s: %w", what, err)
	}
	defer os.RemoveAll(scratch)
	if err := generate(scratch); err != nil {
		return err
	}
	if !check {
		return Replace(scratch, out, paths...)
	}
	if err := Check(scratch, out, paths...); err != nil {
		return fmt.Errorf("%s is not up to date: run `make %s`:\n%w", what, target, err)
	}
	return nil
}

// Replace copies paths, which are files or folders, from one folder (from) to another (to). Files below the
// same paths in the target folder are removed first.
func Replace(from, to string, paths ...string) error {
	for _, path := range paths {
		files, err := readFiles(filepath.Join(from, path))
		if err != nil {
			return err
		}
		target := filepath.Join(to, path)
		if err := os.RemoveAll(target); err != nil {
			return fmt.Errorf("removing the earlier generated files: %w", err)
		}
		for name, content := range files {
			file := filepath.Join(target, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return fmt.Errorf("writing the generated files: %w", err)
			}
			if err := os.WriteFile(file, content, 0o644); err != nil {
				return fmt.Errorf("writing the generated files: %w", err)
			}
		}
	}
	return nil
}

// Check compares the paths in two folders. It returns an error that names each file that differs.
func Check(from, to string, paths ...string) error {
	var differ []error
	for _, path := range paths {
		want, err := readFiles(filepath.Join(from, path))
		if err != nil {
			return err
		}
		got, err := readFiles(filepath.Join(to, path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, name := range sortedNames(want, got) {
			shown := filepath.Join(path, name)
			generated, isWanted := want[name]
			present, exists := got[name]
			switch {
			case !exists:
				differ = append(differ, fmt.Errorf("%s does not exist", shown))
			case !isWanted:
				differ = append(differ, fmt.Errorf("%s is not generated any more", shown))
			case !bytes.Equal(generated, present):
				differ = append(differ, fmt.Errorf("%s: %s", shown, firstDifference(present, generated)))
			}
		}
	}
	return errors.Join(differ...)
}

// readFiles returns the files below a path (root), by relative path. If root is a file, it returns that file under
// an empty path.
func readFiles(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if name == "." {
			name = ""
		}
		files[name] = content
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", root, err)
	}
	return files, nil
}

func sortedNames(a, b map[string][]byte) []string {
	var names []string
	for _, files := range []map[string][]byte{a, b} {
		for name := range files {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func firstDifference(got, want []byte) string {
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i, line := range wantLines {
		if i >= len(gotLines) {
			return fmt.Sprintf("line %d is missing: %q", i+1, line)
		}
		if !bytes.Equal(gotLines[i], line) {
			return fmt.Sprintf("line %d is %q, and the generated line is %q", i+1, gotLines[i], line)
		}
	}
	return fmt.Sprintf("the file has %d lines, and the generated one has %d", len(gotLines), len(wantLines))
}
