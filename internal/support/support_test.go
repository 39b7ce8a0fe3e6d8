package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRedacted_RemovesSecrets(t *testing.T) {
	const canary = "canary"
	type object = map[string]any
	for _, tt := range []struct {
		name     string
		in, want object
	}{
		{"a Secret", object{"kind": "Secret", "metadata": object{"name": "keys"}, "data": object{"key": canary}, "stringData": object{"key": canary}},
			object{"kind": "Secret", "metadata": object{"name": "keys"}, "data": redactedValue, "stringData": redactedValue}},
		{"what kubectl applied last, and who manages fields", object{"kind": "Pod", "metadata": object{"managedFields": []any{canary}, "annotations": object{"kubectl.kubernetes.io/last-applied-configuration": canary, "lbstack.io/a": "b", "objectset.rio.cattle.io/applied": canary, "metallb.io.example.com/a": canary}}},
			object{"kind": "Pod", "metadata": object{"annotations": object{"lbstack.io/a": "b"}}}},
		{"environment variables", object{"spec": object{"containers": []any{object{"env": []any{object{"name": "A", "value": canary}, object{"name": "B", "valueFrom": object{"fieldRef": "x"}}, canary}}}}},
			object{"spec": object{"containers": []any{object{"env": []any{object{"name": "A", "value": redactedValue}, object{"name": "B", "valueFrom": object{"fieldRef": "x"}}}}}}}},
		{"environment variables that are no list", object{"env": canary}, object{"env": redactedValue}},
		{"patches of the stack", object{"spec": object{"patches": []any{object{"target": object{"kind": "Pod"}, "patch": canary}}}},
			object{"spec": object{"patches": []any{object{"target": object{"kind": "Pod"}, "patch": redactedValue}}}}},
		{"a password that an old kind has", object{"spec": object{"password": canary, "passwordSecret": object{"name": "tor"}}}, object{"spec": object{"password": redactedValue, "passwordSecret": object{"name": "tor"}}}},
		{"nothing of a ConfigMap", object{"kind": "ConfigMap", "data": object{"a": "b"}}, object{"kind": "ConfigMap", "data": object{"a": "b"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := RedactedCopy(tt.in)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(fmt.Sprint(got), canary) {
				t.Errorf("the secret is in %v", got)
			}
		})
	}
}

func TestArchive_IsBounded(t *testing.T) {
	var w bytes.Buffer
	a := NewArchive(&w, "folder", time.Unix(1e9, 0))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	long := append(bytes.Repeat([]byte("x"), MaxFile), "end"...)
	must(a.Text("answer.txt", long))
	must(a.Log("program.log", long))
	must(a.Objects("objects.yaml", []map[string]any{{"a": "b"}, {"long": string(long)}}))
	for i := range MaxTotal / MaxFile {
		must(a.Log(fmt.Sprintf("%d.log", i), long))
	}
	must(a.Close())

	files := contents(t, &w)
	for name, want := range map[string]string{"answer.txt": "x", "program.log": "end", "objects.yaml": "a: b\n", "missing.txt": "left out, since the archive already has"} {
		text := files["folder/"+name]
		if !strings.Contains(text, want) || len(text) > MaxFile {
			t.Errorf("%s: %d bytes, without %q", name, len(text), want)
		}
	}
	if got, want := files["folder/missing.txt"], "answer.txt: the archive has only the first 1048576 of 1048579 bytes\nprogram.log: the archive has only the last 1048576 bytes\nobjects.yaml: the archive has only the first 1 of 2 objects\n"; !strings.HasPrefix(got, want) {
		t.Errorf("missing.txt: got\n%s\nwant first\n%s", got, want)
	}
	total := 0
	for _, text := range files {
		total += len(text)
	}
	if total > MaxTotal+MaxFile {
		t.Errorf("the archive has %d bytes", total)
	}
}

// contents of an archive, by name.
func contents(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	uncompressed, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(uncompressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(text)
	}
}
