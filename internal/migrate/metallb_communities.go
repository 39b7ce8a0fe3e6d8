package migrate

import (
	"fmt"
	"regexp"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// aliasPattern matches the names that a community alias can have (v1beta1.CommunityAlias).
var aliasPattern = regexp.MustCompile(`^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$`)

// mapCommunity maps a Community, which has names for BGP communities.
func (in *importer) mapCommunity(root field, original string) {
	name := in.names.nameOf(listCommunities, original)
	spec := root.child("spec").withItem(itemPath(listCommunities, name))
	c := v1beta1.StackCommunity{Name: v1beta1.ObjectName(name)}
	for _, f := range spec.child("communities").items() {
		if alias, ok := in.readAlias(f.child("name").text(), f.child("value"), f); ok {
			c.Communities = append(c.Communities, alias)
		}
	}
	in.addAliases(root, c)
}

// mapAliases maps the names for BGP communities in the ConfigMap.
func (in *importer) mapAliases(list field) {
	name := in.names.nameOf(listCommunities, "metallb")
	list = list.withItem(itemPath(listCommunities, name))
	c := v1beta1.StackCommunity{Name: v1beta1.ObjectName(name)}
	for _, key := range list.keys() {
		if alias, ok := in.readAlias(key, list.child(key), list.child(key)); ok {
			c.Communities = append(c.Communities, alias)
		}
	}
	in.addAliases(list, c)
}

// addAliases adds the aliases of c to the stack. If one item cannot have all of them, it adds several items.
func (in *importer) addAliases(from field, c v1beta1.StackCommunity) {
	all := c.Communities
	for i := 0; len(all) > 0; i++ {
		n := min(len(all), maxCommunities)
		part := v1beta1.StackCommunity{Name: c.Name}
		if i > 0 {
			part.Name = v1beta1.ObjectName(in.names.nameOf(listCommunities, fmt.Sprintf("%s part %d", c.Name, i+1)))
		}
		part.Communities, all = all[:n], all[n:]
		in.addCommunities(from, part)
	}
}

// readAlias reads one alias. The parameter from is the field that contains both its name and its value. The
// result ok is false if the stack gets no alias from this field. If a stack cannot have the name, or if it is
// the well-known name of another community, advertisements get the value instead of the name.
func (in *importer) readAlias(name string, value, from field) (alias v1beta1.CommunityAlias, ok bool) {
	c, err := apiconv.ParseCommunity(value.text())
	if err != nil {
		from.markUnmapped("it is left out: " + err.Error())
		return alias, false
	}
	alias = v1beta1.CommunityAlias{Name: name, Value: v1beta1.CommunityReference(c.String())}
	known, err := apiconv.ParseCommunity(name)
	switch {
	case in.values[name] != "" || in.aliased[name]:
		from.markUnmapped(fmt.Sprintf("the name %q is in the input twice: the first one counts", name))
		return alias, false
	case err == nil && known != c, !aliasPattern.MatchString(name), len(name) > maxNameLength:
		in.values[name] = c.String()
		from.markChanged("communities", fmt.Sprintf("%q cannot be the name of a community in a stack: advertisements use %s instead", name, c))
		return alias, false
	case err == nil: // the well-known name of this community needs no alias
		from.markIgnored("is the well-known community of this name, which a stack knows")
		return alias, false
	}
	in.aliased[name] = true
	for _, key := range []string{"name", "value"} {
		from.child(key).markMapped("communities")
	}
	value.markMapped("communities")
	return alias, true
}
