package inspect

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// fieldEffects has the effect of a change of a field of the spec, by the name of the field. It has only
// fields that are not compared item by item (see plannedLists).
var fieldEffects = map[string]string{
	"loadBalancerClass": "Services of the new class are served; all Services that have an address keep it",
	"bfdProfiles":       "BFD applies the change without a new session",
	"layer2":            "the speakers apply the change without a restart",
	"drain":             "the speakers apply the change without a restart",
	"nodes":             "the speakers apply the change without a restart",
	"controller":        "the controller is rolled out",
	"speaker":           "the speakers are replaced one after the other, unless only spec.speaker.rollout changes",
	"images":            "the controller and the speakers are rolled out if their image changes",
	"patches":           "the objects that the operator applies change: a change of a pod template is rolled out",
	"managementState":   "the operator starts or stops writing objects",
}

// addSpecChanges compares two specs: the items of the planned lists (Items), and the other fields
// (Rollouts).
func (c *Changes) addSpecChanges(from, to *v1beta1.LoadBalancerStack) {
	before := map[string]any{}
	if from != nil {
		before = fieldsOf(&from.Spec)
	}
	after := fieldsOf(&to.Spec)
	c.addItems(before, after)
	for _, name := range differingFields(before, after) {
		if slices.Contains(plannedLists, name) {
			continue
		}
		text := "spec." + name + " changes"
		if then := fieldEffects[name]; then != "" {
			text += ": " + then
		}
		c.Rollouts = append(c.Rollouts, text)
	}
}

// fieldsOf returns the fields of a spec as decoded from JSON.
func fieldsOf(spec *v1beta1.LoadBalancerStackSpec) map[string]any {
	fields := map[string]any{}
	text, err := json.Marshal(spec)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic(err) // a programming error: each type of the API can be encoded
	}
	return fields
}

// Print writes the changes for people.
func (c *Changes) Print(w io.Writer) error {
	var text strings.Builder
	if c.OnHold != "" {
		fmt.Fprintf(&text, "The operator changes nothing now: %s.\n", c.OnHold)
	}
	if c.None() {
		text.WriteString("Nothing changes: no address, no announcement and no session.\n")
	}
	part := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		if text.Len() > 0 {
			text.WriteString("\n")
		}
		fmt.Fprintf(&text, "%s:\n  %s\n", title, strings.Join(lines, "\n  "))
	}
	var lines []string
	for _, problem := range c.Problems {
		lines = append(lines, problem.String())
	}
	part("Not in effect", lines)
	lines = nil
	for _, s := range c.Services {
		line := fmt.Sprintf("%s: %s -> %s", s.Service, joinAddresses(s.Before), joinAddresses(s.After))
		if s.Why != "" {
			line += "  (" + s.Why + ")"
		}
		lines = append(lines, line)
	}
	part("Addresses of Services", lines)
	lines = nil
	for _, a := range c.Announcements {
		lines = append(lines, fmt.Sprintf("%s (%s) %s", a.Address, strings.Join(a.Services, ", "), a.What))
	}
	part("Announcements", lines)
	lines = nil
	for _, s := range c.Sessions {
		lines = append(lines, fmt.Sprintf("%s: %s", s.Peer, s.What))
	}
	part("Sessions with routers", lines)
	lines = nil
	for _, item := range c.Items {
		lines = append(lines, item.String())
	}
	part("Items of the spec", lines)
	part("Other fields", c.Rollouts)
	_, err := io.WriteString(w, text.String())
	return err
}

func joinAddresses(list []netip.Addr) string {
	if len(list) == 0 {
		return "none"
	}
	texts := make([]string, 0, len(list))
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}
