package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// printer writes an answer for people. It may have the formats wide and name as well.
type printer interface{ Print(io.Writer) error }

type (
	widePrinter interface{ PrintWide(io.Writer) error }
	namer       interface{ Names() []string }
)

// answer prints an answer, and ends with 1 if what was asked about is not as it should be.
func answer(w io.Writer, output string, a printer, good bool) error {
	if err := write(w, output, a); err != nil {
		return err
	}
	if !good {
		return errNotAsAsked
	}
	return nil
}

// write an answer in a format.
func write(w io.Writer, output string, a printer) error {
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
	return fmt.Errorf("-o %s: the formats are %s", output, strings.Join(formats, ", "))
}
