package inspect

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/component-helpers/auth/rbac/validation"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/config"
)

// RBAC has the roles and bindings of a cluster. Roles and RoleBindings are those of the namespace of lbstack.
type RBAC struct {
	ClusterRoles        []rbacv1.ClusterRole
	ClusterRoleBindings []rbacv1.ClusterRoleBinding
	Roles               []rbacv1.Role
	RoleBindings        []rbacv1.RoleBinding
}

// installedRBAC returns the roles and bindings in the manifests of this version. Their namespace is
// installedNamespace.
func installedRBAC() (*RBAC, error) {
	r := &RBAC{}
	err := fs.WalkDir(config.Rights, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := config.Rights.ReadFile(path)
		if err != nil {
			return err
		}
		if err := r.addManifest(text); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		return nil
	})
	return r, err
}

// addManifest adds the roles and bindings of a YAML file.
func (r *RBAC) addManifest(text []byte) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var kind struct {
			Kind string `json:"kind"`
		}
		if err == nil {
			err = yaml.Unmarshal(document, &kind)
		}
		if err != nil {
			return err
		}
		switch kind.Kind {
		case "ClusterRole":
			err = addObject(document, &r.ClusterRoles)
		case "ClusterRoleBinding":
			err = addObject(document, &r.ClusterRoleBindings)
		case "Role":
			err = addObject(document, &r.Roles)
		case "RoleBinding":
			err = addObject(document, &r.RoleBindings)
		}
		if err != nil {
			return err
		}
	}
}

func addObject[T any](document []byte, to *[]T) error {
	var object T
	err := yaml.UnmarshalStrict(document, &object)
	*to = append(*to, object)
	return err
}

// serviceAccount is an account of a program of lbstack.
type serviceAccount struct{ namespace, name string }

// accounts returns the sorted names of the ServiceAccounts to which the ClusterRoleBindings give rights.
func (r *RBAC) accounts() (names []string) {
	for _, b := range r.ClusterRoleBindings {
		for _, s := range b.Subjects {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// grantedRules returns the rules that an account has in all namespaces, and the additional rules that it has
// only in the namespace of lbstack.
func (r *RBAC) grantedRules(account serviceAccount) (cluster, namespaced []rbacv1.PolicyRule) {
	for _, b := range r.ClusterRoleBindings {
		if bindsAccount(b.Subjects, account) {
			cluster = append(cluster, r.roleRules(b.RoleRef)...)
		}
	}
	for _, b := range r.RoleBindings {
		if bindsAccount(b.Subjects, account) {
			namespaced = append(namespaced, r.roleRules(b.RoleRef)...)
		}
	}
	return cluster, namespaced
}

// roleRules returns the rules of a role; none if it does not exist.
func (r *RBAC) roleRules(ref rbacv1.RoleRef) []rbacv1.PolicyRule {
	for i := range r.ClusterRoles {
		if ref.Kind == "ClusterRole" && r.ClusterRoles[i].Name == ref.Name {
			return r.ClusterRoles[i].Rules
		}
	}
	for i := range r.Roles {
		if ref.Kind == "Role" && r.Roles[i].Name == ref.Name {
			return r.Roles[i].Rules
		}
	}
	return nil
}

// bindsAccount reports whether one of the subjects is the account, its user name, or a group that it is in.
func bindsAccount(subjects []rbacv1.Subject, account serviceAccount) bool {
	groups := []string{"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:" + account.namespace}
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		switch s.Kind {
		case rbacv1.ServiceAccountKind:
			return s.Namespace == account.namespace && s.Name == account.name
		case rbacv1.UserKind:
			return s.Name == "system:serviceaccount:"+account.namespace+":"+account.name
		case rbacv1.GroupKind:
			return slices.Contains(groups, s.Name)
		}
		return false
	})
}

// rightsProblems compares the rights of the programs' ServiceAccounts with those that this version installs.
func rightsProblems(f *DoctorInput) (problems []string) {
	if f.RBAC == nil || f.whyNeedsUnknown() != "" {
		return nil
	}
	wanted, err := installedRBAC()
	if err != nil {
		return []string{fmt.Sprintf("the rights that lbstack needs cannot be read: %v: this is a bug in the plugin: report it", err)}
	}
	for _, name := range wanted.accounts() {
		needCluster, needNamespaced := wanted.grantedRules(serviceAccount{installedNamespace, name})
		has, hasNamespaced := f.RBAC.grantedRules(serviceAccount{f.Namespace, name})
		_, lacks := validation.Covers(has, needCluster)
		_, lacksNamespaced := validation.Covers(slices.Concat(has, hasNamespaced), needNamespaced)
		var where []string
		if len(lacks) > 0 {
			where = append(where, "in the whole cluster: "+describeRights(lacks))
		}
		if len(lacksNamespaced) > 0 {
			where = append(where, fmt.Sprintf("in namespace %s: %s", f.Namespace, describeRights(lacksNamespaced)))
		}
		if len(where) > 0 {
			problems = append(problems, fmt.Sprintf("ServiceAccount %s/%s lacks rights (%s): its program cannot do its work: install the roles again: %s", f.Namespace, name, strings.Join(where, "; "), f.reinstallCommand()))
		}
	}
	return problems
}

// installedNamespace is the namespace of lbstack in the manifests.
const installedNamespace = "lbstack-system"

// maxListedRights bounds how many resources a sentence about rights lists.
const maxListedRights = 5

// describeRights describes rules that have one verb, resource and name each, such as "list/watch nodes". It joins the verbs for the
// same resource.
func describeRights(rules []rbacv1.PolicyRule) string {
	verbs, resources := map[string][]string{}, []string{}
	for _, r := range rules {
		what := strings.Join(slices.Concat(r.Resources, r.NonResourceURLs), "")
		if group := strings.Join(r.APIGroups, ""); group != "" {
			what += "." + group
		}
		if len(r.ResourceNames) > 0 {
			what += " " + r.ResourceNames[0]
		}
		if verbs[what] == nil {
			resources = append(resources, what)
		}
		verbs[what] = append(verbs[what], r.Verbs...)
	}
	var parts []string
	for _, what := range resources[:min(len(resources), maxListedRights)] {
		parts = append(parts, strings.Join(verbs[what], "/")+" "+what)
	}
	text := strings.Join(parts, ", ")
	if more := len(resources) - maxListedRights; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// reinstallCommand returns the command that installs CustomResourceDefinitions and roles of the plugin's version again.
func (f *DoctorInput) reinstallCommand() string {
	if isRelease := strings.HasPrefix(f.Plugin, "v") && f.Plugin != "v0.0.0-dev"; !isRelease {
		return "see docs/install.md"
	}
	return fmt.Sprintf("kubectl apply --server-side -f https://github.com/lbstack/lbstack/releases/download/%s/install.yaml (with Helm: helm upgrade)", f.Plugin)
}

// otherVersion returns the version of lbstack in the cluster if it differs from the version of the plugin. It
// returns an empty text if they are the same or the version is not known.
func (f *DoctorInput) otherVersion() string {
	if f.Stack == nil || f.Stack.Status.Version == f.Plugin {
		return ""
	}
	return f.Stack.Status.Version
}

// nextVersion returns the target version of a rollout that is in progress, if it differs from the version of
// the plugin; otherwise empty.
func (f *DoctorInput) nextVersion() string {
	if f.Stack == nil || f.Stack.Status.TargetVersion == f.Plugin {
		return ""
	}
	return f.Stack.Status.TargetVersion
}

// whyNeedsUnknown returns why the plugin cannot check roles and CustomResourceDefinitions: lbstack in the
// cluster has another version, or a rollout to another version is in progress. If there is no such reason, it
// returns an empty text. During a rollout, roles and CustomResourceDefinitions already belong to the target
// version, so installing those of the plugin's version would be a downgrade.
func (f *DoctorInput) whyNeedsUnknown() string {
	if next := f.nextVersion(); next != "" {
		return fmt.Sprintf("the plugin is %s, and a rollout to %s is in progress: use the plugin of %s", f.Plugin, next, next)
	}
	if other := f.otherVersion(); other != "" {
		return fmt.Sprintf("the plugin is %s and lbstack is %s: use the plugin of %s", f.Plugin, other, other)
	}
	return ""
}
