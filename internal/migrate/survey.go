package migrate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// inputSurvey has facts about the whole input that the mapping of a single object needs.
type inputSurvey struct {
	// namespace is the namespace of MetalLB, or empty if it is not known. MetalLB reads objects of this namespace only.
	namespace string
	// namespaces are the namespaces in which the input has objects of MetalLB's kinds, sorted.
	namespaces []string
	// current means that the input has objects of MetalLB's kinds. Since 0.13, MetalLB reads these objects
	// instead of the ConfigMap config.
	current bool
	// exclusions are the patterns of interfaces in metallb-excludel2: a stack has no field for them.
	exclusions []*regexp.Regexp
	// hasCustomExclusions means that exclusions has patterns that are not in defaultExclusions.
	hasCustomExclusions bool
	// hasCiliumCluster means that the input has a CiliumBGPClusterConfig.
	hasCiliumCluster bool
}

// MetalLBNamespaces returns the namespaces of workloads of MetalLB's controller or speaker, sorted.
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

// MetalLBComponent returns which component of MetalLB a workload is: "controller", "speaker", or empty for neither.
func MetalLBComponent(o Object) string {
	_, component := metalLBContainer(newSource(o))
	return component
}

// newSurvey makes the survey. The parameter namespace is the namespace of MetalLB that the user passed. If it
// is empty, the survey uses the namespace of MetalLB's workloads, provided that all of them are in one
// namespace.
func newSurvey(sources []*sourceObject, namespace string) (s inputSurvey) {
	running, all := map[string]bool{}, map[string]bool{}
	for _, o := range sources {
		_, component := metalLBContainer(o)
		if component != "" {
			running[o.namespace] = true
		}
		if o.group == "cilium.io" && o.kind == "CiliumBGPClusterConfig" {
			s.hasCiliumCluster = true
		}
		if o.group == "metallb.io" && metalLBLists[o.kind] != "" {
			s.current = true
			all[o.namespace] = true
		}
	}
	s.namespace, s.namespaces = namespace, slices.Sorted(maps.Keys(all))
	if list := slices.Sorted(maps.Keys(running)); namespace == "" && len(list) == 1 {
		s.namespace = list[0]
	}
	for _, o := range sources {
		if patterns := o.rootField().child("data").child("excludel2.yaml").child("announcedInterfacesToExclude"); o.kind == "ConfigMap" && s.otherNamespaceReason(o) == "" {
			s.addExclusions(patterns)
		}
	}
	return s
}

// addExclusions adds the patterns in a list. A pattern that is not a valid regular expression excludes all
// interfaces, since it is not known which ones it is meant for.
func (s *inputSurvey) addExclusions(list field) {
	texts, _ := list.value.([]any)
	for _, item := range texts {
		text, _ := item.(string)
		pattern, err := regexp.Compile(text)
		if err != nil {
			pattern = regexp.MustCompile("")
		}
		s.exclusions = append(s.exclusions, pattern)
		s.hasCustomExclusions = s.hasCustomExclusions || !slices.Contains(defaultExclusions, text)
	}
}

// isExcluded reports whether a pattern of metallb-excludel2 matches an interface: MetalLB announces nothing there, even if an
// advertisement names the interface.
func (s *inputSurvey) isExcluded(name string) bool {
	return slices.ContainsFunc(s.exclusions, func(p *regexp.Regexp) bool { return p.MatchString(name) })
}

// otherNamespaceReason returns why MetalLB ignores an object of its own kinds, if the object is in another namespace; otherwise
// empty.
func (s *inputSurvey) otherNamespaceReason(o *sourceObject) string {
	if s.namespace == "" || o.namespace == "" || o.namespace == s.namespace {
		return ""
	}
	return fmt.Sprintf("MetalLB runs in the namespace %s and ignores objects of other namespaces: remove this object from the input, or pass -n %s if MetalLB runs there", s.namespace, o.namespace)
}

// noteNamespaces adds a note if MetalLB's namespace is not known and its objects are in several namespaces.
func (s *inputSurvey) noteNamespaces(note func(string)) {
	if s.namespace == "" && len(s.namespaces) > 1 {
		note(fmt.Sprintf("The input has objects of MetalLB in the namespaces %s, and MetalLB reads only the objects in its own namespace: pass this namespace with -n.", strings.Join(s.namespaces, ", ")))
	}
}

// reserveNames registers all names of the input that are DNS labels, so that no other name is converted to
// one of them.
func (in *importer) reserveNames(sources []*sourceObject) {
	for _, o := range sources {
		lists := map[string][]string{
			"metallb.io": {metalLBLists[o.kind]}, "cilium.io": {map[string]string{"CiliumLoadBalancerIPPool": listPools, "CiliumL2AnnouncementPolicy": listL2Advertisements}[o.kind]},
		}[o.group]
		for _, list := range lists {
			if list != "" {
				in.reserveName(list, o.name)
			}
		}
		config := o.rootField().child("data").child("config")
		if _, isTree := config.value.(map[string]any); o.kind != "ConfigMap" || !isTree {
			continue
		}
		for key, list := range map[string]string{"address-pools": listPools, "bfd-profiles": listBFDProfiles} {
			items, _ := config.child(key).value.([]any)
			for _, item := range items {
				name, _ := (field{value: item}).child("name").value.(string)
				in.reserveName(list, name)
				if list == listPools {
					in.reserveName(listL2Advertisements, name)
					in.reserveName(listBGPAdvertisements, name)
				}
			}
		}
	}
}

func (in *importer) reserveName(list, name string) {
	if isDNSLabel(name) {
		in.names.nameOf(list, name)
	}
}
