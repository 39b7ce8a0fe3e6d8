package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// descriptor describes one field in the forms and pages of OperatorHub and the OpenShift console.
type descriptor struct {
	Path         string   `json:"path"`
	DisplayName  string   `json:"displayName"`
	Description  string   `json:"description,omitempty"`
	XDescriptors []string `json:"x-descriptors,omitempty"`
}

// objectPart is a part of an object, spec or status. Consoles show the fields of spec as inputs, and the fields of
// status as text.
type objectPart string

const (
	spec   objectPart = "spec"
	status objectPart = "status"
)

// schema is a part of the OpenAPI schema of a CRD.
type schema map[string]any

func (s schema) child(key string) schema {
	child, _ := s[key].(map[string]any)
	return child
}

func (s schema) text(key string) string {
	text, _ := s[key].(string)
	return text
}

// describeFields returns a descriptor for each field of a part, and for each field one level below. Below an
// object these are its fields, and below a list the fields of its items. It returns no descriptors for deeper
// fields, for the fields of conditions, and for those of label selectors, which consoles show according to the
// schema. The fields whose names are in first come before all other fields.
func describeFields(of schema, p objectPart, first []string) []descriptor {
	var list []descriptor
	fields := of.child("properties")
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	names := slices.SortedFunc(maps.Keys(fields), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	for _, name := range names {
		field := fields.child(name)
		list = append(list, describeField(field, p, name, name))
		below, path := field, name+"."
		if field.text("type") == "array" {
			below, path = field.child("items"), name+"[0]."
		}
		inner := below.child("properties")
		if _, isSelector := inner["matchExpressions"]; isSelector || name == "conditions" {
			continue
		}
		for _, sub := range slices.Sorted(maps.Keys(inner)) {
			list = append(list, describeField(inner.child(sub), p, path+sub, sub))
		}
	}
	return list
}

func describeField(field schema, p objectPart, path, name string) descriptor {
	d := descriptor{Path: path, DisplayName: displayName(name), Description: firstSentence(field.text("description"))}
	if control := controlDescriptor(field, p, name); control != "" {
		d.XDescriptors = append(d.XDescriptors, control)
	}
	if values, ok := field["enum"].([]any); ok && p == spec && name != "pullPolicy" {
		d.XDescriptors = nil
		for _, value := range values {
			if text, ok := value.(string); ok {
				d.XDescriptors = append(d.XDescriptors, "urn:alm:descriptor:com.tectonic.ui:select:"+text)
			}
		}
	}
	return d
}

// controlDescriptor returns the x-descriptor for the input control or the kind of text that a console shows for a field.
func controlDescriptor(field schema, p objectPart, name string) string {
	const input = "urn:alm:descriptor:com.tectonic.ui:"
	kind := field.text("type")
	switch {
	case name == "conditions":
		return "urn:alm:descriptor:io.kubernetes.conditions"
	case p == status && (kind == "string" || kind == "integer"):
		return "urn:alm:descriptor:text"
	case p == status:
		return ""
	case name == "replicas":
		return input + "podCount"
	case name == "resources":
		return input + "resourceRequirements"
	case name == "pullPolicy":
		return input + "imagePullPolicy"
	case kind == "boolean":
		return input + "booleanSwitch"
	case kind == "integer":
		return input + "number"
	case kind == "string":
		return input + "text"
	}
	return ""
}

// acronyms maps words in the names of fields to their spelling in titles. Words that only get a capital first
// letter in titles are not in the map.
var acronyms = map[string]string{
	"as": "AS", "asn": "ASN", "bfd": "BFD", "bgp": "BGP", "ebgp": "eBGP", "id": "ID", "ip": "IP", "ips": "IPs", "ipv4": "IPv4", "ipv6": "IPv6", "l2": "L2", "layer2": "Layer 2", "mac": "MAC", "med": "MED",
	"ttl": "TTL", "uid": "UID", "vrf": "VRF",
}

// displayName returns the title for the name of a field: "BGP Peers" for bgpPeers, "My ASN" for myASN.
func displayName(name string) string {
	words := splitWords(name)
	for i, word := range words {
		lower := strings.ToLower(word)
		if capitals, ok := acronyms[lower]; ok {
			words[i] = capitals
			continue
		}
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, " ")
}

// splitWords splits a name in camel case. Capitals in a row are one word. If a small letter follows them, the last
// capital begins the next word, as in IPAddress. There is no next word if the small letter is the plural s at
// the end of an acronym, as in buggyIPs.
func splitWords(name string) []string {
	var words []string
	runes, begin := []rune(name), 0
	for i := 1; i < len(runes); i++ {
		afterSmall := unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1])
		isPlural := i+2 == len(runes) && runes[i+1] == 's'
		beforeSmall := unicode.IsUpper(runes[i]) && unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsLower(runes[i+1]) && !isPlural
		if afterSmall || beforeSmall {
			words, begin = append(words, string(runes[begin:i])), i
		}
	}
	return append(words, string(runes[begin:]))
}

// firstSentence returns the first sentence of a description. A form has no room for the whole text.
func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if sentence, _, found := strings.Cut(text, ". "); found {
		return sentence + "."
	}
	return text
}
