package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// maxDocumentBytes bounds the text that Read accepts, in bytes. A ConfigMap has at most 1 MiB, and a
// directory of manifests not much more.
const maxDocumentBytes = 64 << 20

// Object is one object of the input.
type Object struct {
	// From is where the object was found, such as the name of a file.
	From string
	// Content is the object as decoded from JSON.
	Content map[string]any
}

// ErrNoObject is wrapped by the error of Read for valid YAML that is not a Kubernetes object, such as the values of
// a Helm chart.
var ErrNoObject = errors.New("not a Kubernetes object")

// Read splits YAML or JSON into objects. Each item of a List becomes an object. The name of the source (from)
// is part of error messages. A key that is in a map twice is an error, since one of the two values would be
// lost.
func Read(from string, text io.Reader) ([]Object, error) {
	all, err := io.ReadAll(io.LimitReader(text, maxDocumentBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", from, err)
	}
	if len(all) > maxDocumentBytes {
		return nil, fmt.Errorf("%s has more than %d MiB: pass only the files with the configuration", from, maxDocumentBytes>>20)
	}
	var objects []Object
	for i, document := range splitDocuments(string(all)) {
		var content any
		if err := yaml.UnmarshalStrict([]byte(document), &content); err != nil {
			return nil, fmt.Errorf("%s: document %d cannot be read as YAML: %w", from, i+1, err)
		}
		found, err := objectsIn(from, content)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", from, i+1, err)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// splitDocuments splits a YAML stream at its separators.
func splitDocuments(text string) (parts []string) {
	var part strings.Builder
	for line := range strings.Lines(text) {
		if trimmed := strings.TrimRight(line, "\r\n \t"); trimmed == "---" || strings.HasPrefix(line, "--- ") {
			parts = append(parts, part.String())
			part.Reset()
			line = strings.TrimPrefix(line, "---")
		}
		part.WriteString(line)
	}
	return append(parts, part.String())
}

func objectsIn(from string, content any) ([]Object, error) {
	if content == nil {
		return nil, nil
	}
	object, ok := content.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: pass Kubernetes objects, each with apiVersion and kind", ErrNoObject)
	}
	kind, _ := object["kind"].(string)
	items, isList := object["items"].([]any)
	if isList && strings.HasSuffix(kind, "List") {
		var objects []Object
		for _, item := range items {
			found, err := objectsIn(from, item)
			if err != nil {
				return nil, err
			}
			objects = append(objects, found...)
		}
		return objects, nil
	}
	if version, _ := object["apiVersion"].(string); version == "" || kind == "" {
		return nil, fmt.Errorf("%w: it has no apiVersion or no kind: pass Kubernetes objects, and put the text of MetalLB's old configuration into data.config of a ConfigMap", ErrNoObject)
	}
	return []Object{{From: from, Content: object}}, nil
}

// sourceObject is an object while it is mapped.
type sourceObject struct {
	group, version, kind, namespace, name string
	// where is kind, namespace and name of the object, as a phrase.
	where   string
	content map[string]any
	// isConflict means that another object of this kind, namespace and name, with other content, is mapped in place of this one.
	isConflict bool
	// entries are the outcomes of the leaves, by path.
	entries map[string]*Entry
}

// sortSources sorts objects into the order in which they are mapped: an object comes before the objects that
// refer to it. If objects have the same kind, namespace and name, it leaves out copies with the same content,
// and sets isConflict on objects that differ from the first one.
func sortSources(objects []Object) []*sourceObject {
	sources := make([]*sourceObject, 0, len(objects))
	for _, o := range objects {
		sources = append(sources, newSource(o))
	}
	slices.SortStableFunc(sources, func(a, b *sourceObject) int {
		return cmp.Or(cmp.Compare(a.mappingOrder(), b.mappingOrder()), cmp.Compare(a.group, b.group), cmp.Compare(a.kind, b.kind),
			cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name), cmp.Compare(a.version, b.version), cmp.Compare(a.contentText(), b.contentText()))
	})
	kept := sources[:0]
	for _, o := range sources {
		if n := len(kept); n > 0 && o.hasSameIdentity(kept[n-1]) {
			if reflect.DeepEqual(kept[n-1].content, o.content) {
				continue
			}
			o.isConflict = true
		}
		kept = append(kept, o)
	}
	return kept
}

func newSource(o Object) *sourceObject {
	text := func(m map[string]any, key string) string { s, _ := m[key].(string); return s }
	group, version, _ := strings.Cut(text(o.Content, "apiVersion"), "/")
	if version == "" {
		group, version = "", group
	}
	metadata, _ := o.Content["metadata"].(map[string]any)
	s := &sourceObject{
		group: group, version: version, kind: text(o.Content, "kind"),
		namespace: text(metadata, "namespace"), name: text(metadata, "name"), content: o.Content, entries: map[string]*Entry{},
	}
	if s.group == "" && s.kind == "ConfigMap" {
		s.content = withParsedConfig(o.Content)
	}
	s.where = s.kind + " " + strings.TrimPrefix(s.namespace+"/"+s.name, "/")
	return s
}

// withParsedConfig returns a ConfigMap in which the texts config and excludel2.yaml are parsed, so that each field of them is
// mapped or reported. Text that is no valid YAML stays text.
func withParsedConfig(configMap map[string]any) map[string]any {
	data, ok := configMap["data"].(map[string]any)
	if !ok {
		return configMap
	}
	data = maps.Clone(data)
	for _, key := range []string{"config", "excludel2.yaml"} {
		text, ok := data[key].(string)
		var tree map[string]any
		if ok && yaml.UnmarshalStrict([]byte(text), &tree) == nil && tree != nil {
			data[key] = tree
		}
	}
	configMap = maps.Clone(configMap)
	configMap["data"] = data
	return configMap
}

// mappingOrder returns the position of the kind in the order of mapping.
func (s *sourceObject) mappingOrder() int {
	order := [][]string{
		{"ConfigMap"}, {"Community"}, {"BFDProfile"}, {"AddressPool", "IPAddressPool", "CiliumLoadBalancerIPPool"}, {"CiliumBGPPeerConfig", "CiliumBGPNodeConfigOverride"}, {"BGPPeer", "CiliumBGPClusterConfig"},
	}
	for i, kinds := range order {
		if slices.Contains(kinds, s.kind) {
			return i
		}
	}
	return len(order)
}

func (s *sourceObject) hasSameIdentity(other *sourceObject) bool {
	return s.group == other.group && s.kind == other.kind && s.namespace == other.namespace && s.name == other.name
}

// contentText returns the content as text. It is the last sort key, so that the result does not depend on the
// order of the input.
func (s *sourceObject) contentText() string {
	text, err := yaml.Marshal(s.content)
	if err != nil {
		return ""
	}
	return string(text)
}

func (s *sourceObject) rootField() field { return field{o: s, value: s.content} }

// ignoreIdentity marks the fields that identify the object, and its status, as ignored. It does not mark the
// labels of an IPAddressPool, which readPoolLabels maps.
func (s *sourceObject) ignoreIdentity() {
	root := s.rootField()
	for _, key := range []string{"apiVersion", "kind"} {
		root.child(key).markIgnored(ignoredName)
	}
	metadata := root.child("metadata")
	for _, key := range metadata.keys() {
		if key != "labels" || s.kind != "IPAddressPool" {
			metadata.child(key).markIgnored(ignoredName)
		}
	}
	root.child("status").markIgnored(ignoredState)
}

// sortedEntries returns the entries by path.
func (s *sourceObject) sortedEntries() []Entry {
	entries := make([]Entry, 0, len(s.entries))
	for _, e := range s.entries {
		entries = append(entries, *e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return entries
}
