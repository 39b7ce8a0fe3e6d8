package cli

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// watchAnswer prints an answer, and prints it again whenever it has changed, until the user stops the
// command. It reads the cluster at an interval: an answer depends on ten kinds, and a watch of each kind
// would cost the API server more. If the first read fails, watchAnswer returns the error; it prints the
// errors of later reads and continues.
func watchAnswer(ctx context.Context, streams genericiooptions.IOStreams, output string, every time.Duration, look func(context.Context) (printedAnswer, bool, error)) error {
	var last []byte
	for first := true; ; first = false {
		a, _, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			fmt.Fprintf(streams.ErrOut, "%s: %v\n", time.Now().UTC().Format(time.RFC3339), err)
		default:
			var text bytes.Buffer
			if err := writeAnswer(&text, output, a); err != nil {
				return err
			}
			if !first && bytes.Equal(text.Bytes(), last) {
				break
			}
			last = text.Bytes()
			if output == "" || output == "wide" {
				fmt.Fprintf(streams.Out, "--- %s\n", time.Now().UTC().Format(time.RFC3339))
			}
			if output == "yaml" {
				fmt.Fprintln(streams.Out, "---")
			}
			if _, err := streams.Out.Write(last); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}
