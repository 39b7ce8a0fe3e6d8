// Package support puts together what helps others to find out what is wrong with an installation: objects, logs and
// answers, bounded in size and without secrets. Pure: objects and texts in, an archive out; the kubectl plugin reads them.
package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Bounds of an archive, before it is compressed.
const (
	// MaxFile bounds each file: of a log the end is left, of anything else the beginning.
	MaxFile = 1 << 20
	// MaxTotal bounds all files together.
	MaxTotal = 64 << 20
)

// redacted stands where something was taken out.
const redacted = "(redacted)"

// Archive writes a tar.gz. Its files are in one folder, in the order in which they come.
type Archive struct {
	folder string
	now    time.Time
	gzip   *gzip.Writer
	tar    *tar.Writer
	total  int
	notes  []string
}

// NewArchive begins an archive whose files are in a folder, as of a time.
func NewArchive(w io.Writer, folder string, now time.Time) *Archive {
	compressed := gzip.NewWriter(w)
	return &Archive{folder: folder, now: now, gzip: compressed, tar: tar.NewWriter(compressed)}
}

// Text adds an answer. Its beginning is left if it is too long.
func (a *Archive) Text(name string, text []byte) error {
	if len(text) > MaxFile {
		a.Note(fmt.Sprintf("%s: its first %d of %d bytes are here", name, MaxFile, len(text)))
		text = text[:MaxFile]
	}
	return a.add(name, text)
}

// Log adds a log. Its end is left if it is too long.
func (a *Archive) Log(name string, text []byte) error {
	if len(text) > MaxFile {
		a.Note(fmt.Sprintf("%s: its last %d bytes are here", name, MaxFile))
		text = text[len(text)-MaxFile:]
	}
	return a.add(name, text)
}

// Objects adds objects as documents of YAML, without what is secret or of no use. As many as fit are there.
func (a *Archive) Objects(name string, objects []map[string]any) error {
	var text bytes.Buffer
	for i, object := range objects {
		document, err := yaml.Marshal(Redacted(object))
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if text.Len()+len(document) > MaxFile {
			a.Note(fmt.Sprintf("%s: the first %d of %d objects are here", name, i, len(objects)))
			break
		}
		text.WriteString("---\n")
		text.Write(document)
	}
	return a.add(name, text.Bytes())
}

// Note adds a line about what is missing.
func (a *Archive) Note(line string) { a.notes = append(a.notes, line) }

// Notes are the lines about what is missing.
func (a *Archive) Notes() []string { return a.notes }

// Close ends the archive, with the notes.
func (a *Archive) Close() error {
	a.total = 0 // they are short, and have to be there
	if len(a.notes) > 0 {
		if err := a.add("missing.txt", []byte(strings.Join(a.notes, "\n")+"\n")); err != nil {
			return err
		}
	}
	if err := a.tar.Close(); err != nil {
		return err
	}
	return a.gzip.Close()
}

func (a *Archive) add(name string, text []byte) error {
	if a.total+len(text) > MaxTotal {
		a.Note(fmt.Sprintf("%s: left out: the archive has %d bytes", name, a.total))
		return nil
	}
	a.total += len(text)
	if err := a.tar.WriteHeader(&tar.Header{Name: a.folder + "/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: a.now}); err != nil {
		return err
	}
	_, err := a.tar.Write(text)
	return err
}

// Redacted is an object without what is secret or of no use: values of environment variables, fields named
// password, patches of the stack, annotations of other tools (which may have the whole object as it was applied), and managed fields. Of a Secret nothing but its name and the
// names of its keys is left.
func Redacted(object map[string]any) map[string]any {
	kind, _ := object["kind"].(string)
	return clean(object, kind == "Secret").(map[string]any)
}

// clean returns a copy of a value as JSON has it.
func clean(value any, secret bool) any {
	switch v := value.(type) {
	case map[string]any:
		copied := make(map[string]any, len(v))
		for key, item := range v {
			switch {
			case key == "managedFields":
			case key == "annotations":
				copied[key] = annotations(item)
			case key == "patch", secret && (key == "data" || key == "stringData"), key == "password":
				copied[key] = redacted
			case key == "env":
				copied[key] = environment(item)
			default:
				copied[key] = clean(item, secret)
			}
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, item := range v {
			copied[i] = clean(item, secret)
		}
		return copied
	default:
		return value
	}
}

// annotations returns those of Kubernetes, lbstack and MetalLB, but for that of kubectl apply.
func annotations(value any) any {
	all, ok := value.(map[string]any)
	if !ok {
		return redacted
	}
	kept := map[string]any{}
	for key, text := range all {
		domain, _, _ := strings.Cut(key, "/")
		ours := slices.ContainsFunc([]string{"kubernetes.io", "k8s.io", "lbstack.io", "metallb.io", "metallb.universe.tf"}, func(known string) bool {
			return domain == known || strings.HasSuffix(domain, "."+known)
		})
		if ours && key != "kubectl.kubernetes.io/last-applied-configuration" {
			kept[key] = text
		}
	}
	return kept
}

// environment is a list of variables without their values.
func environment(list any) any {
	items, ok := list.([]any)
	if !ok {
		return redacted
	}
	copied := make([]any, 0, len(items))
	for _, item := range items {
		variable, ok := clean(item, false).(map[string]any)
		if !ok {
			continue
		}
		if _, has := variable["value"]; has {
			variable["value"] = redacted
		}
		copied = append(copied, variable)
	}
	return copied
}
