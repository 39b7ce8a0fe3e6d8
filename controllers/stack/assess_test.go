package stack

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// workload is a component with two pods wanted, of which some are ready.
func workload(name string, ready int32) componentState {
	c := componentState{ComponentStatus: v1beta1.ComponentStatus{Name: name, Desired: 2, Updated: 2, Ready: ready}, available: ready}
	c.setSettled(true, downPods{})
	return c
}

func failing(c componentState, why string) componentState {
	c.failing = []podProblem{{text: why}}
	return c
}

// served3 are three Services with addresses.
func served3(announced, idle int) serviceCounts {
	return serviceCounts{addressed: 3, announced: announced, idle: idle}
}

// withOtherClass is a Service of another class than the one that is served.
func withOtherClass() serviceCounts {
	return serviceCounts{addressed: 1, announced: 1, otherClass: []string{"shop/web"}}
}

// conditionTexts returns the conditions of a status without their messages.
func conditionTexts(status v1beta1.LoadBalancerStackStatus) map[string]string {
	all := map[string]string{}
	for _, c := range status.Conditions {
		if c.Type != v1beta1.ConditionConfigurationValid { // TestConfigurationValid
			all[c.Type] = string(c.Status) + " " + c.Reason
		}
	}
	return all
}

func TestAssess(t *testing.T) {
	all := []componentState{workload("controller", 2), workload("speaker", 2)}
	served := v1beta1.LoadBalancerStackStatus{Version: "v1", Conditions: []metav1.Condition{
		{Type: v1beta1.ConditionAvailable, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonAsExpected}}}
	stalled := v1beta1.LoadBalancerStackStatus{Version: "v1", Conditions: []metav1.Condition{
		{Type: v1beta1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonRenderFailed},
		{Type: v1beta1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonApplyFailed}}}
	unwritten := componentState{ComponentStatus: v1beta1.ComponentStatus{Name: "controller"}, unknown: true}
	foreign := []v1beta1.ObjectReference{ref("lbstack.io", "v1beta1", "IPAddressPool", "", "p")}
	waiting := "waiting until the DaemonSet n/lbstack-speaker is gone"
	tests := []struct {
		name     string
		previous v1beta1.LoadBalancerStackStatus
		found    findings
		want     map[string]string
		summary  string
		version  string
	}{
		{name: "all is as the spec asks", found: findings{components: all}, summary: "Ready", version: "v2",
			want: map[string]string{"Ready": "True Ready", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "a failure that ended is no longer reported", previous: stalled, found: findings{components: all}, summary: "Ready", version: "v2",
			want: map[string]string{"Ready": "True Ready", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "before anything is installed nothing is served", summary: "ComponentsNotReady", version: "v1",
			want: map[string]string{"Ready": "False ComponentsNotReady", "Available": "False ComponentsNotReady", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "one component without a pod is enough to serve nothing", found: findings{components: []componentState{workload("controller", 2), workload("speaker", 0)}},
			summary: "ComponentsNotReady", version: "v1",
			want: map[string]string{"Ready": "False ComponentsNotReady", "Available": "False ComponentsNotReady", "Progressing": "True ComponentsNotReady",
				"Degraded": "False AsExpected", "Reconciling": "True ComponentsNotReady"}},
		{name: "while pods are exchanged Services are served", found: findings{components: []componentState{workload("controller", 2), workload("speaker", 1)}},
			summary: "ComponentsNotReady", version: "v1",
			want: map[string]string{"Ready": "False ComponentsNotReady", "Available": "True AsExpected", "Progressing": "True ComponentsNotReady",
				"Degraded": "False AsExpected", "Reconciling": "True ComponentsNotReady"}},
		{name: "a failing pod is waited for and reported", found: findings{components: []componentState{workload("controller", 2), failing(workload("speaker", 1), "ErrImagePull")}},
			summary: "ComponentFailing", version: "v1",
			want: map[string]string{"Ready": "False ComponentFailing", "Available": "True AsExpected", "Progressing": "True ComponentsNotReady",
				"Degraded": "True ComponentFailing", "Reconciling": "True ComponentFailing"}},
		{name: "an object of somebody else waits for a person and the rest serves", found: findings{components: all, foreign: foreign}, summary: "ObjectNotOurs", version: "v2",
			want: map[string]string{"Ready": "False ObjectNotOurs", "Available": "True AsExpected", "Progressing": "False AsExpected",
				"Degraded": "True ObjectNotOurs", "Stalled": "True ObjectNotOurs"}},
		{name: "a pool that gives nothing waits for a person", found: findings{components: all, pools: []string{"the pool p gives no addresses"}}, summary: "PoolNotReady", version: "v2",
			want: map[string]string{"Ready": "False PoolNotReady", "Available": "True AsExpected", "Progressing": "False AsExpected",
				"Degraded": "True PoolNotReady", "Stalled": "True PoolNotReady"}},
		{name: "what the API server did not take is tried again", found: findings{components: all, failures: []fault{{v1beta1.ReasonApplyFailed, "timeout", endsByRetry}}}, summary: "ApplyFailed", version: "v2",
			want: map[string]string{"Ready": "False ApplyFailed", "Available": "True AsExpected", "Progressing": "False AsExpected",
				"Degraded": "True ApplyFailed", "Reconciling": "True ApplyFailed"}},
		{name: "object that the API server refuses waits for a person", found: findings{components: all, failures: []fault{{v1beta1.ReasonApplyFailed, "invalid", endsByPerson}}}, summary: "ApplyFailed", version: "v2",
			want: map[string]string{"Ready": "False ApplyFailed", "Available": "True AsExpected", "Progressing": "False AsExpected",
				"Degraded": "True ApplyFailed", "Stalled": "True ApplyFailed"}},
		{name: "cluster that cannot be read leaves what serves as it is", previous: served, found: findings{ended: true, failures: []fault{{v1beta1.ReasonReadFailed, "timeout", endsByRetry}}}, summary: "ReadFailed", version: "v1",
			want: map[string]string{"Ready": "False ReadFailed", "Available": "True AsExpected", "Progressing": "False AsExpected",
				"Degraded": "True ReadFailed", "Reconciling": "True ReadFailed"}},
		{name: "old Kubernetes waits for a person", found: findings{unfit: &unfitReason{v1beta1.ReasonUnsupportedKubernetes, "1.30"}}, summary: "UnsupportedKubernetes", version: "v1",
			want: map[string]string{"Ready": "False UnsupportedKubernetes", "Available": "False ComponentsNotReady", "Progressing": "False AsExpected",
				"Degraded": "True UnsupportedKubernetes", "Stalled": "True UnsupportedKubernetes"}},
		{name: "node that is down leaves the stack Ready", found: findings{components: all, nodes: []v1beta1.UnavailableNode{{Name: "n3", Reason: v1beta1.ReasonNodeNotReady}}},
			summary: "NodesUnavailable", version: "v2",
			want: map[string]string{"Ready": "True NodesUnavailable", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "Services of another class leave the stack Ready", found: findings{components: all, services: withOtherClass()}, summary: "ServicesOfOtherClass", version: "v2",
			want: map[string]string{"Ready": "True ServicesOfOtherClass", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "node that cannot run a speaker is no fault", found: findings{components: all, nodes: []v1beta1.UnavailableNode{{Name: "win", Reason: v1beta1.ReasonOtherOperatingSystem}}},
			summary: "Ready", version: "v2",
			want: map[string]string{"Ready": "True Ready", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "peer without a session degrades the stack and waits for nobody in it", found: findings{components: all, peersDown: []string{"the BGPPeer tor"}}, summary: "PeersDown", version: "v2",
			want: map[string]string{"Ready": "False PeersDown", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "True PeersDown"}},
		{name: "peer whose nodes have no speaker degrades the stack", found: findings{components: all, noSpeaker: []string{"the BGPPeer tor"}}, summary: "PeersDown", version: "v2",
			want: map[string]string{"Ready": "False PeersDown", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "True PeersDown"}},
		{name: "peer whose nodes have no speaker yet waits for the speakers", found: findings{components: []componentState{workload("controller", 2), workload("speaker", 1)}, noSpeaker: []string{"the BGPPeer tor"}},
			summary: "ComponentsNotReady", version: "v1",
			want: map[string]string{"Ready": "False ComponentsNotReady", "Available": "True AsExpected", "Progressing": "True ComponentsNotReady",
				"Degraded": "False AsExpected", "Reconciling": "True ComponentsNotReady"}},
		{name: "peer whose sessions flap degrades the stack", found: findings{components: all, flapping: []string{"the BGPPeer tor"}}, summary: "Flapping", version: "v2",
			want: map[string]string{"Ready": "False Flapping", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "True Flapping"}},
		{name: "speakers that cannot do all of their work degrade the stack", found: findings{components: all, speakers: []string{"n1: no link"}}, summary: "SpeakersNotReady", version: "v2",
			want: map[string]string{"Ready": "False SpeakersNotReady", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "True SpeakersNotReady"}},
		{name: "addresses in use whose pools do not exist wait for a person", found: findings{components: all, orphans: "2 addresses"}, summary: "AddressesWithoutPool", version: "v2",
			want: map[string]string{"Ready": "False AddressesWithoutPool", "Available": "True AsExpected", "Progressing": "False AsExpected",
				"Degraded": "True AddressesWithoutPool", "Stalled": "True AddressesWithoutPool"}},
		{name: "conflict of some addresses of a pool leaves the stack Ready", found: findings{components: all, conflicts: []string{"the pool p: a host has 10.0.0.1"}}, summary: "PoolConflict", version: "v2",
			want: map[string]string{"Ready": "True PoolConflict", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "node that is down weighs more than a conflict", found: findings{components: all, conflicts: []string{"the pool p: a host has 10.0.0.1"}, nodes: []v1beta1.UnavailableNode{{Name: "n3", Reason: v1beta1.ReasonNodeNotReady}}},
			summary: "NodesUnavailable", version: "v2",
			want: map[string]string{"Ready": "True NodesUnavailable", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "Services of which none is announced are not served", found: findings{components: all, services: served3(0, 0)}, summary: "ServicesNotAnnounced", version: "v2",
			want: map[string]string{"Ready": "False ServicesNotAnnounced", "Available": "False ServicesNotAnnounced", "Progressing": "False AsExpected", "Degraded": "True ServicesNotAnnounced"}},
		{name: "Services of which one is announced are", found: findings{components: all, services: served3(1, 0)}, summary: "Ready", version: "v2",
			want: map[string]string{"Ready": "True Ready", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "Services without endpoints are no fault", found: findings{components: all, services: served3(0, 3)}, summary: "Ready", version: "v2",
			want: map[string]string{"Ready": "True Ready", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "a spec that cannot be rendered leaves what serves as it is", previous: served, found: findings{renderFailed: "no"}, summary: "RenderFailed", version: "v1",
			want: map[string]string{"Ready": "False RenderFailed", "Available": "True AsExpected", "Progressing": "False AsExpected",
				"Degraded": "True RenderFailed", "Stalled": "True RenderFailed"}},
		{name: "a first spec that cannot be rendered serves nothing", found: findings{renderFailed: "no"}, summary: "RenderFailed", version: "v1",
			want: map[string]string{"Ready": "False RenderFailed", "Available": "False ComponentsNotReady", "Progressing": "False AsExpected",
				"Degraded": "True RenderFailed", "Stalled": "True RenderFailed"}},
		{name: "restrained operator does not know whether the spec is followed, and works on nothing", previous: served,
			found: findings{components: []componentState{workload("controller", 2), workload("speaker", 1)}, restraint: &observeReason{"Paused", "why"}}, summary: "Paused", version: "v1",
			want: map[string]string{"Ready": "Unknown Paused", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "False AsExpected"}},
		{name: "restrained operator reports what is wrong", previous: served,
			found: findings{components: all, restraint: &observeReason{"Unmanaged", "why"}, peersDown: []string{"the BGPPeer tor"}}, summary: "Unmanaged", version: "v1",
			want: map[string]string{"Ready": "Unknown Unmanaged", "Available": "True AsExpected", "Progressing": "False AsExpected", "Degraded": "True PeersDown"}},
		{name: "invalid spec leaves what serves as it is", previous: served, found: findings{components: all, invalid: []string{"spec.patches[0]: no"}}, summary: "SpecInvalid", version: "v1",
			want: map[string]string{"Ready": "False SpecInvalid", "Available": "True AsExpected", "Progressing": "False AsExpected",
				"Degraded": "True SpecInvalid", "Stalled": "True SpecInvalid"}},
		{name: "removed stack is as its spec asks and serves nothing", previous: stalled, found: findings{removed: true}, summary: "Removed",
			want: map[string]string{"Ready": "True Removed", "Available": "False Removed", "Progressing": "False Removed", "Degraded": "False Removed"}},
		{name: "a stack that is removed reports the removal", previous: served, found: findings{removing: &waiting}, summary: "Removing", version: "v1",
			want: map[string]string{"Ready": "False Removing", "Available": "False Removing", "Degraded": "False Removing", "Progressing": "True Removing", "Reconciling": "True Removing"}},
		{name: "one that only a person could have mended is taken down all the same", previous: stalled, found: findings{removing: &waiting}, summary: "Removing", version: "v1",
			want: map[string]string{"Ready": "False Removing", "Available": "False Removing", "Degraded": "False Removing", "Progressing": "True Removing", "Reconciling": "True Removing"}},
		{name: "a workload that could not be written serves on, at its old version", previous: served, found: findings{components: []componentState{unwritten, workload("speaker", 2)}, failures: []fault{{v1beta1.ReasonApplyFailed, "timeout", endsByRetry}}},
			summary: "ApplyFailed", version: "v1",
			want: map[string]string{"Ready": "False ApplyFailed", "Available": "True AsExpected", "Progressing": "False AsExpected",
				"Degraded": "True ApplyFailed", "Reconciling": "True ApplyFailed"}},
		{name: "but one without a pod is seen beside it", previous: served, found: findings{components: []componentState{unwritten, workload("speaker", 0)}, failures: []fault{{v1beta1.ReasonApplyFailed, "timeout", endsByRetry}}},
			summary: "ApplyFailed", version: "v1",
			want: map[string]string{"Ready": "False ApplyFailed", "Available": "False ComponentsNotReady", "Progressing": "True ComponentsNotReady",
				"Degraded": "True ApplyFailed", "Reconciling": "True ApplyFailed"}},
		{name: "pods are waited for while a person is", found: findings{components: []componentState{workload("controller", 1), workload("speaker", 2)}, foreign: foreign}, summary: "ObjectNotOurs", version: "v1",
			want: map[string]string{"Ready": "False ObjectNotOurs", "Available": "True AsExpected", "Progressing": "True ComponentsNotReady",
				"Degraded": "True ObjectNotOurs", "Reconciling": "True ComponentsNotReady", "Stalled": "True ObjectNotOurs"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.previous.Version, tt.found.version, tt.found.generation = "v1", "v2", 7
			got := buildStatus(tt.previous, tt.found)
			if diff := cmp.Diff(tt.want, conditionTexts(got)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if got.Summary != tt.summary || got.Version != tt.version || got.ObservedGeneration != 7 {
				t.Errorf("got summary %q, version %q, generation %d, want %q, %q, 7", got.Summary, got.Version, got.ObservedGeneration, tt.summary, tt.version)
			}
		})
	}
}

func TestAssessGivesTheReasonsInSentences(t *testing.T) {
	down := "waiting until the pods have ended"
	tests := []struct {
		name  string
		found findings
		want  map[string]string
	}{
		{name: "what is waited for is named", found: findings{components: []componentState{workload("controller", 0), workload("speaker", 1)}},
			want: map[string]string{
				"Ready":       "waiting for the controller: 0 of 2 pods are ready; the speaker: 1 of 2 pods are ready",
				"Progressing": seeReadyMessage, "Reconciling": seeReadyMessage,
				"Available": "no pod of the controller is ready", "Degraded": "nothing is wrong"}},
		{name: "all failures are reported, the heaviest first", found: findings{components: []componentState{workload("controller", 2)}, pools: []string{"the pool gives nothing"}, failures: []fault{{v1beta1.ReasonApplyFailed, "no answer", endsByRetry}}},
			want: map[string]string{
				"Ready": "no answer; the pool gives nothing", "Degraded": "ApplyFailed, PoolNotReady: " + seeReadyMessage,
				"Reconciling": seeReadyMessage, "Stalled": "PoolNotReady: " + seeReadyMessage,
				"Available": "the controller and the speakers run; no Service has an address", "Progressing": "nothing is under way"}},
		{name: "a failure is reported once", found: findings{components: []componentState{workload("controller", 2), failing(workload("speaker", 1), "on n1: no such image")}},
			want: map[string]string{
				"Ready":    "the speaker fails: on n1: no such image; waiting for the speaker: 1 of 2 pods are ready",
				"Degraded": "ComponentFailing: " + seeReadyMessage, "Reconciling": seeReadyMessage, "Progressing": seeReadyMessage,
				"Available": "the controller and the speakers run; no Service has an address"}},
		{name: "a failure is reported once while a rollout waits for it", found: findings{components: []componentState{workload("controller", 2), failing(workload("speaker", 1), "on n1: no such image")},
			rollout: &rolloutFinding{moving: true, brief: "1 of 2 speakers run v2 and are ready; waiting for n1", status: &v1beta1.RolloutStatus{Message: "1 of 2 speakers run v2 and are ready; waiting for n1: no such image"}}},
			want: map[string]string{
				"Ready":    "the speaker fails: on n1: no such image; 1 of 2 speakers run v2 and are ready; waiting for n1",
				"Degraded": "ComponentFailing: " + seeReadyMessage, "Reconciling": seeReadyMessage, "Progressing": seeReadyMessage,
				"Available": "the controller and the speakers run; no Service has an address"}},
		{name: "Services that are not announced are counted", found: findings{components: []componentState{workload("controller", 2)}, services: served3(1, 1)},
			want: map[string]string{
				"Ready":    "2 of 3 Services with an address are not announced, 1 of them without an endpoint: the condition Available has the details",
				"Degraded": "nothing is wrong", "Progressing": "nothing is under way",
				"Available": "1 of 3 Services with an address are announced; 1 have no endpoint"}},
		{name: "Services that are all announced need no word", found: findings{components: []componentState{workload("controller", 2)}, services: served3(3, 0)},
			want: map[string]string{
				"Ready": "everything is as the spec asks", "Degraded": "nothing is wrong", "Progressing": "nothing is under way",
				"Available": "all 3 Services with an address are announced"}},
		{name: "Services of which none is announced are counted once", found: findings{components: []componentState{workload("controller", 2)}, services: served3(0, 0)},
			want: map[string]string{
				"Ready":    "none of the 3 Services with an address is announced: the condition Available and the conditions of the Services have the reasons",
				"Degraded": "ServicesNotAnnounced: " + seeReadyMessage, "Progressing": "nothing is under way",
				"Available": "0 of 3 Services with an address are announced"}},
		{name: "addresses of a pool that are not given are named", found: findings{components: []componentState{workload("controller", 2)}, conflicts: []string{"the pool p: a host has 10.0.0.1"}, services: withOtherClass()},
			want: map[string]string{
				"Ready":    "the pool p: a host has 10.0.0.1; " + withOtherClass().otherClassSentence(),
				"Degraded": "nothing is wrong", "Progressing": "nothing is under way",
				"Available": "all 1 Services with an address are announced"}},
		{name: "nodes that are down are named", found: findings{components: []componentState{workload("controller", 2)}, services: served3(2, 1), nodes: []v1beta1.UnavailableNode{
			{Name: "n2", Reason: v1beta1.ReasonNodeNotReady}, {Name: "n3", Reason: v1beta1.ReasonSpeakerUnreachable}, {Name: "win", Reason: v1beta1.ReasonOtherOperatingSystem}}},
			want: map[string]string{
				"Ready": "no address is announced from n2 (NodeNotReady) and n3 (SpeakerUnreachable): the other nodes announce the addresses, and only the other nodes receive changes: " +
					"repair each of these nodes, or delete its Node object; 1 of 3 Services with an address are not announced, 1 of them without an endpoint: the condition Available has the details",
				"Degraded": "nothing is wrong", "Progressing": "nothing is under way",
				"Available": "2 of 3 Services with an address are announced; 1 have no endpoint"}},
		{name: "restraint comes first", found: findings{components: []componentState{workload("controller", 1)}, restraint: &observeReason{"Paused", "paused"}, peersDown: []string{"no session"}, absent: "1 objects do not exist"},
			want: map[string]string{"Ready": "paused; no session; 1 objects do not exist", "Degraded": "PeersDown: " + seeReadyMessage, "Progressing": "nothing is under way",
				"Available": "the controller and the speakers run; no Service has an address"}},
		{name: "a removal names what it waits for", found: findings{removing: &down},
			want: map[string]string{"Ready": down, "Available": seeReadyMessage, "Degraded": seeReadyMessage, "Progressing": seeReadyMessage, "Reconciling": seeReadyMessage}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string]string{}
			for _, c := range buildStatus(v1beta1.LoadBalancerStackStatus{}, tt.found).Conditions {
				got[c.Type] = c.Message
			}
			delete(got, v1beta1.ConditionConfigurationValid) // TestConfigurationValid
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailuresForAPersonAndForTheOperatorAreBothReported(t *testing.T) {
	found := findings{
		components: []componentState{failing(workload("speaker", 1), "ErrImagePull")},
		pools:      []string{"the pool p gives no addresses"},
	}
	got := buildStatus(v1beta1.LoadBalancerStackStatus{}, found)
	for _, kind := range []string{v1beta1.ConditionReconciling, v1beta1.ConditionStalled} {
		if !meta.IsStatusConditionTrue(got.Conditions, kind) {
			t.Errorf("%s: got %v, want it True", kind, conditionTexts(got))
		}
	}
	if want := v1beta1.ReasonPoolNotReady; got.Summary != want || conditionTexts(got)[v1beta1.ConditionReady] != "False "+want {
		t.Errorf("got summary %q and %v, want the heavier reason %s", got.Summary, conditionTexts(got), want)
	}
}

func TestAssessOfTheSameIsTheSame(t *testing.T) {
	long := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	found := findings{generation: 1, version: "v1", components: []componentState{workload("controller", 2)}, inventory: []v1beta1.ObjectReference{ref("", "v1", "Namespace", "", "n")}}
	first := buildStatus(v1beta1.LoadBalancerStackStatus{}, found)
	for i := range first.Conditions {
		first.Conditions[i].LastTransitionTime = long
	}
	if diff := cmp.Diff(first, buildStatus(first, found)); diff != "" {
		t.Errorf("the same findings again (-before +after):\n%s", diff)
	}

	found.generation, found.foreign = 2, []v1beta1.ObjectReference{ref("lbstack.io", "v1beta1", "IPAddressPool", "", "p")}
	passed := *first.DeepCopy()
	second := buildStatus(first, found)
	if diff := cmp.Diff(passed, first); diff != "" {
		t.Errorf("the status that was passed has changed (-before +after):\n%s", diff)
	}
	turned := map[string]bool{v1beta1.ConditionReady: true, v1beta1.ConditionDegraded: true, v1beta1.ConditionStalled: true}
	for _, c := range second.Conditions {
		if got := !c.LastTransitionTime.Equal(&long); got != turned[c.Type] {
			t.Errorf("%s has a new transition time: got %v, want %v", c.Type, got, turned[c.Type])
		}
		if c.ObservedGeneration != 2 {
			t.Errorf("%s: got observed generation %d, want 2", c.Type, c.ObservedGeneration)
		}
	}
}

func TestAssess_ReplacesOnlyObservedFields(t *testing.T) {
	old := v1beta1.LoadBalancerStackStatus{
		Components: []v1beta1.ComponentStatus{{Name: "old"}},
		Inventory:  []v1beta1.ObjectReference{ref("", "v1", "Namespace", "", "old")},
	}
	inventory := []v1beta1.ObjectReference{ref("", "v1", "Namespace", "", "new")}
	now := workload("controller", 2).ComponentStatus
	removing := "waiting"
	tests := []struct {
		name  string
		found findings
		want  []v1beta1.ComponentStatus
	}{
		{name: "the components that were found are listed", found: findings{components: []componentState{workload("controller", 2)}}, want: []v1beta1.ComponentStatus{now}},
		{name: "when none was found none is listed"},
		{name: "when nobody looked the list stays", found: findings{renderFailed: "no"}, want: old.Components},
		{name: "while they are taken down the list stays", found: findings{removing: &removing}, want: old.Components},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.found.inventory = inventory
			got := buildStatus(old, tt.found)
			if diff := cmp.Diff(tt.want, got.Components); diff != "" {
				t.Errorf("components (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(inventory, got.Inventory); diff != "" {
				t.Errorf("inventory (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAssessBoundsItsMessages(t *testing.T) {
	found := findings{failures: []fault{{v1beta1.ReasonApplyFailed, strings.Repeat("x", 3*maxMessageBytes), endsByRetry}}}
	ready := meta.FindStatusCondition(buildStatus(v1beta1.LoadBalancerStackStatus{}, found).Conditions, v1beta1.ConditionReady)
	if ready == nil || len(ready.Message) != maxMessageBytes {
		t.Fatalf("condition: got %+v, want a message of %d bytes", ready, maxMessageBytes)
	}
}
