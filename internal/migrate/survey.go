package migrate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// survey is what decides about single objects and is known from all of them only.
type survey struct {
	// namespace of MetalLB, which reads its objects from there alone. Empty: the input does not say.
	namespace string
	// namespaces in which the input has objects of MetalLB, in order.
	namespaces []string
	// current says that the input has objects of MetalLB since 0.13, which does not read the ConfigMap config.
	current bool
	// excluded are the patterns of metallb-excludel2 that a stack cannot express by itself.
	excluded []*regexp.Regexp
}

// MetalLBNamespaces returns the namespaces in which controllers or speakers of MetalLB are, in order.
func MetalLBNamespaces(objects []Object) []string {
	found := map[string]bool{}
	for _, o := range objects {
		s := newSource(o)
		if _, component := metalLBContainer(s); component != "" {
			found[s.namespace] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// MetalLBComponent says whether a workload is MetalLB's controller or speaker; empty: neither.
func MetalLBComponent(o Object) string {
	_, component := metalLBContainer(newSource(o))
	return component
}

// look makes the survey. The namespace is what the user says; empty: that of MetalLB's workloads, if it is one.
func look(sources []*source, namespace string) (s survey) {
	running, all := map[string]bool{}, map[string]bool{}
	for _, o := range sources {
		_, component := metalLBContainer(o)
		if component != "" {
			running[o.namespace] = true
		}
		if o.group == "metallb.io" && listOf[o.kind] != "" {
			s.current = true
			all[o.namespace] = true
		}
	}
	s.namespace, s.namespaces = namespace, slices.Sorted(maps.Keys(all))
	if list := slices.Sorted(maps.Keys(running)); namespace == "" && len(list) == 1 {
		s.namespace = list[0]
	}
	for _, o := range sources {
		if patterns := o.root().at("data").at("excludel2.yaml").at("announcedInterfacesToExclude"); o.kind == "ConfigMap" && s.elsewhere(o) == "" {
			s.excluded = append(s.excluded, customPatterns(patterns)...)
		}
	}
	return s
}

// customPatterns of interfaces. One that is no regular expression excludes all, since nobody knows what it is to exclude.
func customPatterns(list field) (patterns []*regexp.Regexp) {
	texts, _ := list.value.([]any)
	for _, item := range texts {
		text, _ := item.(string)
		if slices.Contains(excludedByDefault, text) {
			continue
		}
		pattern, err := regexp.Compile(text)
		if err != nil {
			pattern = regexp.MustCompile("")
		}
		patterns = append(patterns, pattern)
	}
	return patterns
}

// excludes says whether MetalLB announces nothing on an interface.
func (s *survey) excludes(name string) bool {
	return slices.ContainsFunc(s.excluded, func(p *regexp.Regexp) bool { return p.MatchString(name) })
}

// elsewhere says why MetalLB does not read an object of its own kinds; empty: it does.
func (s *survey) elsewhere(o *source) string {
	if s.namespace == "" || o.namespace == "" || o.namespace == s.namespace {
		return ""
	}
	return fmt.Sprintf("MetalLB runs in the namespace %s and ignores objects of others: remove it from the input; if MetalLB runs in %s, pass -n %s", s.namespace, o.namespace, o.namespace)
}

// doubts are notes about the namespace.
func (s *survey) doubts(note func(string)) {
	if s.namespace == "" && len(s.namespaces) > 1 {
		note(fmt.Sprintf("The input has objects of MetalLB in the namespaces %s, and MetalLB reads those of its own namespace only: pass -n with this namespace.", strings.Join(s.namespaces, ", ")))
	}
}

// reserve gives names that a stack can have to those that have them, before a name that is none is converted to one of them.
func (in *importer) reserve(sources []*source) {
	for _, o := range sources {
		lists := map[string][]string{
			"metallb.io": {listOf[o.kind]}, "cilium.io": {map[string]string{"CiliumLoadBalancerIPPool": pools, "CiliumL2AnnouncementPolicy": l2Advertisements}[o.kind]},
		}[o.group]
		for _, list := range lists {
			if list != "" {
				in.reserveName(list, o.name)
			}
		}
		config := o.root().at("data").at("config")
		if _, isTree := config.value.(map[string]any); o.kind != "ConfigMap" || !isTree {
			continue
		}
		for key, list := range map[string]string{"address-pools": pools, "bfd-profiles": bfdProfiles} {
			items, _ := config.at(key).value.([]any)
			for _, item := range items {
				name, _ := (field{value: item}).at("name").value.(string)
				in.reserveName(list, name)
				if list == pools {
					in.reserveName(l2Advertisements, name)
					in.reserveName(bgpAdvertisements, name)
				}
			}
		}
	}
}

func (in *importer) reserveName(list, name string) {
	if isLabel(name) {
		in.names.of(list, name)
	}
}
