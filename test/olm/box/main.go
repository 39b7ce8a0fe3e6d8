// Command box is cp or tar, by the name that it is called by, as far as the Job of OLM that reads a
// bundle and the pods of scorecard need them: "cp [-Rv] FILE COPY" and "tar xvzf ARCHIVE -C FOLDER".
// Images of the test bed have no other programs.
package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(filepath.Base(os.Args[0]), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(program string, args []string) error {
	switch {
	case program == "cp" && len(args) == 3 && strings.HasPrefix(args[0], "-"):
		from, err := os.Open(args[1])
		if err != nil {
			return fmt.Errorf("cp: %w", err)
		}
		return errors.Join(write(args[2], from), from.Close())
	case program == "tar" && len(args) == 4 && args[0] == "xvzf" && args[2] == "-C":
		archive, err := os.Open(args[1])
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		return errors.Join(extract(archive, args[3]), archive.Close())
	}
	return fmt.Errorf("%s %q is not supported", program, args)
}

// extract writes the regular files of an archive below a folder.
func extract(archive io.Reader, folder string) error {
	unzipped, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("tar: %w", err)
	}
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := write(filepath.Join(folder, filepath.Clean("/"+header.Name)), reader); err != nil {
			return err
		}
	}
}

func write(path string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
