// Package support writes an archive that helps others to find out what is wrong with an installation. The
// archive has objects, logs and answers of commands. It is bounded in size and contains no secrets. The
// package is pure: it takes objects and texts, and writes an archive. The kubectl plugin reads the objects
// and the logs.
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
	// MaxFile bounds each file, in bytes. The archive has the end of a longer log, and the beginning of any other longer file.
	MaxFile = 1 << 20
	// MaxTotal bounds all files together, in bytes, except missing.txt.
	MaxTotal = 64 << 20
)

// redactedValue is the text in place of a value that was removed.
const redactedValue = "(redacted)"

// Archive writes a tar.gz with files in one folder, in the order in which they are added.
type Archive struct {
	folder string
	now    time.Time
	gzip   *gzip.Writer
	tar    *tar.Writer
	total  int
	notes  []string
}

// NewArchive begins an archive. All files are in one folder, which has the given name, and get the given
// modification time.
func NewArchive(w io.Writer, folder string, now time.Time) *Archive {
	compressed := gzip.NewWriter(w)
	return &Archive{folder: folder, now: now, gzip: compressed, tar: tar.NewWriter(compressed)}
}

// Text adds a text. If it is longer than MaxFile, only its beginning is added.
func (a *Archive) Text(name string, text []byte) error {
	if len(text) > MaxFile {
		a.Note(fmt.Sprintf("%s: the archive has only the first %d of %d bytes", name, MaxFile, len(text)))
		text = text[:MaxFile]
	}
	return a.add(name, text)
}

// Log adds a log. If it is longer than MaxFile, only its end is added.
func (a *Archive) Log(name string, text []byte) error {
	if len(text) > MaxFile {
		a.Note(fmt.Sprintf("%s: the archive has only the last %d bytes", name, MaxFile))
		text = text[len(text)-MaxFile:]
	}
	return a.add(name, text)
}

// Objects adds a file with objects as YAML documents, redacted (see RedactedCopy). It adds as many
// objects as MaxFile allows.
func (a *Archive) Objects(name string, objects []map[string]any) error {
	var text bytes.Buffer
	for i, object := range objects {
		document, err := yaml.Marshal(RedactedCopy(object))
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if text.Len()+len(document) > MaxFile {
			a.Note(fmt.Sprintf("%s: the archive has only the first %d of %d objects", name, i, len(objects)))
			break
		}
		text.WriteString("---\n")
		text.Write(document)
	}
	return a.add(name, text.Bytes())
}

// Note adds a line about something that the archive lacks.
func (a *Archive) Note(line string) { a.notes = append(a.notes, line) }

// Notes returns the lines that Note has added.
func (a *Archive) Notes() []string { return a.notes }

// Close adds the notes as missing.txt and ends the archive.
func (a *Archive) Close() error {
	a.total = 0 // the notes are short, and are added even if MaxTotal is reached
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

// add adds a file. If the files would then exceed MaxTotal, it adds only a note.
func (a *Archive) add(name string, text []byte) error {
	if a.total+len(text) > MaxTotal {
		a.Note(fmt.Sprintf("%s: left out, since the archive already has %d bytes", name, a.total))
		return nil
	}
	a.total += len(text)
	if err := a.tar.WriteHeader(&tar.Header{Name: a.folder + "/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: a.now}); err != nil {
		return err
	}
	_, err := a.tar.Write(text)
	return err
}

// RedactedCopy returns a copy of an object without managedFields and without annotations of other tools,
// since an annotation of another tool may contain the whole object. It replaces values of environment
// variables, fields named password, patches of the stack, and data and stringData of a Secret.
func RedactedCopy(object map[string]any) map[string]any {
	kind, _ := object["kind"].(string)
	return redact(object, kind == "Secret").(map[string]any)
}

// redact returns a redacted copy of a value as decoded from JSON. The parameter secret means that the value
// is part of a Secret.
func redact(value any, secret bool) any {
	switch v := value.(type) {
	case map[string]any:
		copied := make(map[string]any, len(v))
		for key, item := range v {
			switch {
			case key == "managedFields":
			case key == "annotations":
				copied[key] = knownAnnotations(item)
			case key == "patch", secret && (key == "data" || key == "stringData"), key == "password":
				copied[key] = redactedValue
			case key == "env":
				copied[key] = redactEnv(item)
			default:
				copied[key] = redact(item, secret)
			}
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, item := range v {
			copied[i] = redact(item, secret)
		}
		return copied
	default:
		return value
	}
}

// knownAnnotations returns the annotations of Kubernetes, lbstack and MetalLB, except the one of kubectl apply.
func knownAnnotations(value any) any {
	all, ok := value.(map[string]any)
	if !ok {
		return redactedValue
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

// redactEnv returns a list of environment variables with their values redacted.
func redactEnv(list any) any {
	items, ok := list.([]any)
	if !ok {
		return redactedValue
	}
	copied := make([]any, 0, len(items))
	for _, item := range items {
		variable, ok := redact(item, false).(map[string]any)
		if !ok {
			continue
		}
		if _, has := variable["value"]; has {
			variable["value"] = redactedValue
		}
		copied = append(copied, variable)
	}
	return copied
}
