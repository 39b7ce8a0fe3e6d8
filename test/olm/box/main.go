// Command box is cp, tar or grpc_health_probe, by the name that it is called by, as far as the Job of OLM
// that reads a bundle, the pods of scorecard and the pod of a catalogue need them: "cp [-Rv] FILE COPY",
// "tar xvzf ARCHIVE -C FOLDER" and "grpc_health_probe -addr=ADDRESS -rpc-timeout=TIME". Images of the test
// bed have no other programs.
package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
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
		return duplicate(args[1], args[2])
	case program == "cp" && len(args) == 2:
		return duplicate(args[0], args[1])
	case program == "tar" && len(args) == 4 && args[0] == "xvzf" && args[2] == "-C":
		archive, err := os.Open(args[1])
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		return errors.Join(extract(archive, args[3]), archive.Close())
	case program == "grpc_health_probe":
		return probe(args)
	}
	return fmt.Errorf("%s %q is not supported", program, args)
}

func duplicate(path, copied string) error {
	from, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cp: %w", err)
	}
	return errors.Join(write(copied, from), from.Close())
}

// probe asks a server by the health protocol of gRPC whether it serves.
func probe(args []string) error {
	flags := flag.NewFlagSet("grpc_health_probe", flag.ContinueOnError)
	address := flags.String("addr", "", "host and port of the server")
	timeout := flags.Duration("rpc-timeout", time.Second, "time for the answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("grpc_health_probe: %w", err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	answer, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("grpc_health_probe: %w", err)
	}
	if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("grpc_health_probe: %s is %s", *address, answer.GetStatus())
	}
	return nil
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
