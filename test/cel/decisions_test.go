package cel

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// written is an object that a speaker writes.
type written interface {
	runtime.Object
	metav1.Object
}

// TestPolicies_BoundReportsOfASpeaker has the requests of the speaker of a node, each with the
// part of the refusal; empty: the request is allowed.
func TestPolicies_BoundReportsOfASpeaker(t *testing.T) {
	const node = "node-a"
	long := strings.Repeat("a", 150) + "." + strings.Repeat("b", 102)
	short := long[:124] + "x" + long[len(long)-124:]
	fits := long[:249]
	owned := func(by string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: by, UID: "u"}}
	}
	slice := func(name string, changes ...func(written)) written {
		return changed(&v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owned(node)}, Node: node}, changes)
	}
	of := func(node string) func(written) {
		return func(o written) {
			o.SetOwnerReferences(owned(node))
			o.(*v1beta1.SpeakerRouteSlice).Node = v1beta1.NodeName(node)
		}
	}
	state := func(changes ...func(written)) written {
		return changed(&v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: node, OwnerReferences: owned(node)}}, changes)
	}
	unowned := func(o written) { o.SetOwnerReferences(nil) }
	ofOther := func(o written) { o.SetOwnerReferences(owned("node-b")) }
	ofTwo := func(o written) { o.SetOwnerReferences(append(owned(node), owned("node-b")...)) }
	ofPod := func(o written) {
		o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: node, UID: "u"}})
	}
	labeled := func(o written) { o.SetLabels(map[string]string{"a": "b"}) }
	annotated := func(o written) { o.SetAnnotations(map[string]string{"a": "b"}) }
	finalized := func(o written) { o.SetFinalizers([]string{"example.com/a"}) }
	byResource := map[string]validating.Validator{}
	for _, policy := range policies(t) {
		byResource[policy.Spec.MatchConstraints.ResourceRules[0].Resources[0]] = validator(t, policy)
	}
	const number, owner, bare = "a number below 512", "has no owner besides the Node", "no labels, annotations and finalizers"
	for _, tt := range []struct {
		name        string
		node        string // empty: node
		before, now written
		refusal     string
	}{
		{"first slice", "", nil, slice("node-a-0"), ""},
		{"last slice", "", nil, slice("node-a-511"), ""},
		{"one slice more", "", nil, slice("node-a-512"), number},
		{"number with four digits", "", nil, slice("node-a-1000"), number},
		{"number beyond 64 bits", "", nil, slice("node-a-99999999999999999999"), number},
		{"second name of a number", "", nil, slice("node-a-00"), number},
		{"slice of a node with a longer name", "", nil, slice("node-a-b-0"), number},
		{"slice of another node", "", nil, slice("node-b-0"), number},
		{"slice of a node with the longest name that fits", fits, nil, slice(fits+"-511", of(fits)), ""},
		{"slice of a node with a name that does not fit", long, nil, slice(short+"-511", of(long)), ""},
		{"slice of such a node with a number out of bounds", long, nil, slice(short+"-512", of(long)), number},
		{"slice of such a node with another name", long, nil, slice(long[:240]+"-0", of(long)), number},
		{"slice without an owner", "", nil, slice("node-a-0", unowned), owner},
		{"slice of the Node of another speaker", "", nil, slice("node-a-0", ofOther), owner},
		{"slice of two Nodes", "", nil, slice("node-a-0", ofTwo), owner},
		{"slice of a Pod", "", nil, slice("node-a-0", ofPod), owner},
		{"slice with labels", "", nil, slice("node-a-0", labeled), bare},
		{"slice with annotations", "", nil, slice("node-a-0", annotated), bare},
		{"slice with finalizers", "", nil, slice("node-a-0", finalized), bare},
		{"update of a slice", "", slice("node-a-0"), slice("node-a-0"), ""},
		{"update that removes what others added", "", slice("node-a-0", labeled, annotated, finalized, unowned), slice("node-a-0"), ""},
		{"update that removes the owner", "", slice("node-a-0"), slice("node-a-0", unowned), owner},
		{"update that adds annotations", "", slice("node-a-0"), slice("node-a-0", annotated), bare},
		{"deletion of a slice with a name of a former version", "", slice("node-a-1000", unowned), nil, ""},
		{"state", "", nil, state(), ""},
		{"state without an owner", "", nil, state(unowned), owner},
		{"state of the Node of another speaker", "", nil, state(ofOther), owner},
		{"state with labels", "", nil, state(labeled), bare},
		{"update of a state that others labeled", "", state(labeled, unowned), state(labeled, unowned), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			by := tt.node
			if by == "" {
				by = node
			}
			got := strings.Join(refusals(t, byResource, by, tt.before, tt.now), "\n")
			if (got == "") != (tt.refusal == "") || !strings.Contains(got, tt.refusal) {
				t.Errorf("got %q, want %q", got, tt.refusal)
			}
		})
	}
}

func changed(o written, changes []func(written)) written {
	for _, change := range changes {
		change(o)
	}
	return o
}

// refusals returns why the policy of the kind refuses a request of the speaker of a node.
func refusals(t *testing.T, byResource map[string]validating.Validator, node string, before, now written) []string {
	t.Helper()
	operation, options, object := admission.Update, runtime.Object(&metav1.UpdateOptions{}), now
	switch {
	case before == nil:
		operation, options = admission.Create, &metav1.CreateOptions{}
	case now == nil:
		operation, options, object = admission.Delete, &metav1.DeleteOptions{}, before
	}
	resource := map[bool]string{true: "speakerstates", false: "speakerrouteslices"}[strings.Contains(fmt.Sprintf("%T", object), "State")]
	kind := v1beta1.GroupVersion.WithKind(strings.TrimPrefix(fmt.Sprintf("%T", object), "*v1beta1."))
	speaker := &user.DefaultInfo{Name: "system:serviceaccount:lbstack-system:lbstack-speaker", Extra: map[string][]string{"authentication.kubernetes.io/node-name": {node}}}
	in, old := unstructuredOf(t, now), unstructuredOf(t, before)
	attributes := admission.NewAttributesRecord(in, old, kind, "", object.GetName(), v1beta1.GroupVersion.WithResource(resource), "", operation, options, false, speaker)
	versioned := &admission.VersionedAttributes{Attributes: attributes, VersionedObject: admission.NewLazyObject(in), VersionedOldObject: admission.NewLazyObject(old), VersionedKind: kind}
	result := byResource[resource].Validate(context.Background(), attributes.GetResource(), versioned, nil, nil, celconfig.RuntimeCELCostBudget, nil)
	if len(result.Decisions) == 0 {
		t.Fatalf("no policy judged the request for %s", resource)
	}
	var found []string
	for _, d := range result.Decisions {
		if d.Action != validating.ActionAdmit {
			found = append(found, d.Message)
		}
	}
	return found
}

func unstructuredOf(t *testing.T, o written) runtime.Object {
	t.Helper()
	if o == nil {
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}

// validator compiles a policy as the API server does.
func validator(t *testing.T, policy *admissionv1.ValidatingAdmissionPolicy) validating.Validator {
	t.Helper()
	compiler, err := plugin.NewCompositedCompiler(oldest)
	if err != nil {
		t.Fatal(err)
	}
	options := plugin.OptionalVariableDeclarations{HasParams: policy.Spec.ParamKind != nil, HasAuthorizer: true}
	var variables []plugin.NamedExpressionAccessor
	for _, v := range policy.Spec.Variables {
		variables = append(variables, &validating.Variable{Name: v.Name, Expression: v.Expression})
	}
	compiler.CompileAndStoreVariables(variables, options, environment.StoredExpressions)
	var conditions, rules, messages []plugin.ExpressionAccessor
	for i := range policy.Spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&policy.Spec.MatchConditions[i]))
	}
	for _, v := range policy.Spec.Validations {
		rules = append(rules, &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason})
		if v.MessageExpression == "" {
			messages = append(messages, nil)
			continue
		}
		messages = append(messages, &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression})
	}
	compile := func(list []plugin.ExpressionAccessor) plugin.ConditionEvaluator {
		return compiler.CompileCondition(list, options, environment.StoredExpressions)
	}
	matcher := matchconditions.NewMatcher(compile(conditions), policy.Spec.FailurePolicy, "policy", "validate", policy.Name)
	return validating.NewValidator(compile(rules), matcher, compile(nil), compile(messages), policy.Spec.FailurePolicy, nil)
}
