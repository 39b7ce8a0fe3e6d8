package preflight

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Schema has the fields of an object. Its JSON is a part of an OpenAPI v3 structural schema.
type Schema struct {
	// Properties are the fields of an object.
	Properties map[string]*Schema `json:"properties"`
	// Items is the schema of the items of a list.
	Items *Schema `json:"items"`
	// AdditionalProperties is the schema of the values of a map.
	AdditionalProperties *Schema `json:"additionalProperties"`
	// Open means that the object can have any field.
	Open bool `json:"x-kubernetes-preserve-unknown-fields"`
}

// UnmarshalJSON also accepts true and false, which additionalProperties can be.
func (s *Schema) UnmarshalJSON(text []byte) error {
	if string(text) == "true" || string(text) == "false" {
		s.Open = string(text) == "true"
		return nil
	}
	type plain Schema
	return json.Unmarshal(text, (*plain)(s))
}

// MissingFields lists the fields of need that s does not have, in order, each with its path from the
// root. It does not list the fields below a missing field.
func (s *Schema) MissingFields(need *Schema) (paths []string) { return s.missingFieldsBelow("", need) }

func (s *Schema) missingFieldsBelow(path string, need *Schema) (paths []string) {
	if need == nil || (s != nil && s.Open) {
		return nil
	}
	if s == nil {
		s = &Schema{}
	}
	for _, name := range slices.Sorted(maps.Keys(need.Properties)) {
		below := strings.TrimPrefix(path+"."+name, ".")
		if has, ok := s.Properties[name]; ok {
			paths = append(paths, has.missingFieldsBelow(below, need.Properties[name])...)
		} else {
			paths = append(paths, below)
		}
	}
	paths = append(paths, s.Items.missingFieldsBelow(path+"[]", need.Items)...)
	return append(paths, s.AdditionalProperties.missingFieldsBelow(path+"[]", need.AdditionalProperties)...)
}

// absentKinds lists the needed kinds that the API server does not serve.
func absentKinds(served, needed map[string]*Schema) (kinds []string) {
	for kind := range needed {
		if served != nil && served[kind] == nil {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// lackingFields lists the needed fields that the served kinds lack, as Kind.path.
func lackingFields(served, needed map[string]*Schema) (fields []string) {
	for _, kind := range slices.Sorted(maps.Keys(needed)) {
		if served[kind] == nil {
			continue
		}
		for _, path := range served[kind].MissingFields(needed[kind]) {
			fields = append(fields, kind+"."+path)
		}
	}
	return fields
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// SchemaOf returns the fields of a Go type as encoding/json writes it; nil: the type has no fields, or its
// own encoding.
func SchemaOf(t reflect.Type) *Schema {
	if t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler) || t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return SchemaOf(t.Elem())
	case reflect.Slice, reflect.Array:
		if items := SchemaOf(t.Elem()); items != nil {
			return &Schema{Items: items}
		}
	case reflect.Map:
		if values := SchemaOf(t.Elem()); values != nil {
			return &Schema{AdditionalProperties: values}
		}
	case reflect.Struct:
		s := &Schema{Properties: map[string]*Schema{}}
		s.addFields(t)
		return s
	}
	return nil
}

// addFields adds the fields of a struct, and of the structs that are embedded in it.
func (s *Schema) addFields(t reflect.Type) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case field.Anonymous && name == "" || strings.Contains(options, "inline"):
			s.addFields(field.Type)
		default:
			s.Properties[name] = SchemaOf(field.Type)
		}
	}
}
