package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// printedAnswer is an answer of a command. Print writes it for people. An answer may also be a widePrinter (format wide) or a
// namer (format name).
type printedAnswer interface{ Print(io.Writer) error }

type (
	widePrinter interface{ PrintWide(io.Writer) error }
	namer       interface{ Names() []string }
)

// printAnswer prints an answer in a format. It returns errCheckFailed unless good is set.
func printAnswer(w io.Writer, output string, a printedAnswer, good bool) error {
	if err := writeAnswer(w, output, a); err != nil {
		return err
	}
	if !good {
		return errCheckFailed
	}
	return nil
}

// writeAnswer writes an answer in a format: empty for people, json, yaml, or a format that only some answers have.
func writeAnswer(w io.Writer, output string, a printedAnswer) error {
	wide, hasWide := a.(widePrinter)
	names, hasNames := a.(namer)
	switch {
	case output == "":
		return a.Print(w)
	case output == "json":
		text, err := json.MarshalIndent(a, "", "  ")
		if err == nil {
			_, err = fmt.Fprintln(w, string(text))
		}
		return err
	case output == "yaml":
		text, err := yaml.Marshal(a)
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	case output == "wide" && hasWide:
		return wide.PrintWide(w)
	case output == "name" && hasNames:
		for _, name := range names.Names() {
			if _, err := fmt.Fprintln(w, name); err != nil {
				return err
			}
		}
		return nil
	}
	formats := []string{"json", "yaml"}
	if hasWide {
		formats = append(formats, "wide")
	}
	if hasNames {
		formats = append(formats, "name")
	}
	return fmt.Errorf("-o %s: there is no such format: use one of %s", output, strings.Join(formats, ", "))
}
