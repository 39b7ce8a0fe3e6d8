package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// RolloutSpec configures how changes of the components are rolled out to the nodes. Such changes are
// a new version of the operator, and edits of fields that are part of a pod template.
type RolloutSpec struct {
	// maxUnavailable is how many of the nodes that are up may be without a ready speaker at a time while
	// speakers are replaced: a number from 1 to 64, or a share of the nodes from 1% to 100%, rounded up;
	// never more than 64. Speakers that are not ready for another reason count as well. The speaker of the
	// first node is always replaced alone. Default 1.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 64 : self.matches('^([1-9][0-9]?|100)%$')",message="maxUnavailable is a number from 1 to 64, or a share from 1% to 100%"
	// +kubebuilder:default=1
	// +optional
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// stepTimeoutSeconds is how long the replacement of one speaker, or of the controller, may
	// take until the new pod works like the former one: the image is pulled, the pod is ready,
	// other speakers receive messages from it, and its BGP sessions are established. Meanwhile
	// other nodes announce its addresses. If Services stay unannounced, the replacement fails
	// sooner. 60 to 3600, default 300.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=3600
	// +optional
	StepTimeoutSeconds int32 `json:"stepTimeoutSeconds,omitempty"`

	// onFailure is what happens when a replacement fails. Rollback (the default): the
	// components return to the last good revision, node by node. Halt: the operator
	// replaces no more pods.
	// +kubebuilder:default=Rollback
	// +optional
	OnFailure RolloutFailurePolicy `json:"onFailure,omitempty"`
}

// RolloutFailurePolicy is what happens when a rollout fails.
// +kubebuilder:validation:Enum=Rollback;Halt
type RolloutFailurePolicy string

// The values of RolloutFailurePolicy.
const (
	// RolloutRollback returns the components to the last good revision.
	RolloutRollback RolloutFailurePolicy = "Rollback"
	// RolloutHalt stops the rollout: no more pods are replaced.
	RolloutHalt RolloutFailurePolicy = "Halt"
)

// RolloutPhase is the phase that a rollout has reached.
// +kubebuilder:validation:Enum=Installing;Controller;Canary;Speakers;Complete;RollingBack;RolledBack;Halted
type RolloutPhase string

// The phases of a rollout.
const (
	// RolloutInstalling: no rollout has been completed yet.
	RolloutInstalling RolloutPhase = "Installing"
	// RolloutController: the controller is replaced.
	RolloutController RolloutPhase = "Controller"
	// RolloutCanary: the speaker of one node is replaced.
	RolloutCanary RolloutPhase = "Canary"
	// RolloutSpeakers: the other speakers are replaced.
	RolloutSpeakers RolloutPhase = "Speakers"
	// RolloutComplete: the revision runs on all nodes that are up.
	RolloutComplete RolloutPhase = "Complete"
	// RolloutRollingBack: the components return to the last good revision.
	RolloutRollingBack RolloutPhase = "RollingBack"
	// RolloutRolledBack: the revision failed, and the last good revision runs.
	RolloutRolledBack RolloutPhase = "RolledBack"
	// RolloutHalted: the revision failed, and no more pods are replaced.
	RolloutHalted RolloutPhase = "Halted"
)

// RolloutRevision names the pod templates of the components: the hash of the controller's
// template, a hyphen, and the hash of the speakers' template. The ControllerRevision
// lbstack-REVISION in the namespace of the operator contains both templates.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[0-9a-z]+-[0-9a-z]+$`
type RolloutRevision string

// RolloutStatus is the state of a rollout. After a restart the operator resumes the
// rollout from it.
type RolloutStatus struct {
	// phase of the rollout.
	Phase RolloutPhase `json:"phase"`
	// revision that follows from the spec and the version of the operator.
	Revision RolloutRevision `json:"revision"`
	// goodRevision is the last revision whose rollout was completed. Unset: there is none.
	// +optional
	GoodRevision RolloutRevision `json:"goodRevision,omitempty"`
	// failedRevision equals revision if that revision has failed. The operator does not try it again
	// before the spec gives another revision, or the annotation lbstack.io/retry of the stack
	// changes.
	// +optional
	FailedRevision RolloutRevision `json:"failedRevision,omitempty"`
	// failedNode is the node on which the revision failed. Unset: it did not fail on a node.
	// +optional
	FailedNode NodeName `json:"failedNode,omitempty"`
	// failure is why the revision failed.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Failure string `json:"failure,omitempty"`
	// failureUnreceived means that the revision failed because other speakers received no announcements
	// of its speaker on the network. If they receive no announcements of speakers of the goodRevision
	// either, the revision is tried again.
	// +optional
	FailureUnreceived bool `json:"failureUnreceived,omitempty"`
	// updated is how many ready speakers run the revision that they should run: the
	// goodRevision while the phase is RollingBack or RolledBack, otherwise the revision.
	Updated int32 `json:"updated"`
	// total is how many speakers should run, including speakers of nodes that are down.
	Total int32 `json:"total"`
	// since is when the rollout, or the rollback, began.
	Since metav1.Time `json:"since"`
	// proven means that one speaker was replaced in this rollout, and that the new speaker then worked
	// like the former one.
	// +optional
	Proven bool `json:"proven,omitempty"`
	// announcementsUnverified means that even speakers of the goodRevision do not receive announcements
	// of each other. Missing announcements are then no sign that the revision is faulty.
	// +optional
	AnnouncementsUnverified bool `json:"announcementsUnverified,omitempty"`
	// quietNode is the first node whose speaker announced addresses on the local network before it was
	// replaced in this rollout, and announces no address since, while other nodes do. A second such node fails
	// the revision.
	// +optional
	QuietNode NodeName `json:"quietNode,omitempty"`
	// lostNodes is how many nodes went down while their speakers were replaced.
	// +optional
	LostNodes int32 `json:"lostNodes,omitempty"`
	// retry is the last value of the annotation lbstack.io/retry that the operator acted on.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Retry string `json:"retry,omitempty"`
	// edits are the last edits of the spec. The operator does not compare what speakers announce with what
	// they announced before an edit.
	// +optional
	Edits *RolloutEdits `json:"edits,omitempty"`
	// currentNodes are the nodes whose speakers are being replaced, including nodes on which the
	// replacement takes too long. Sorted by name, at most 64.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	CurrentNodes []RolloutStep `json:"currentNodes,omitempty"`
	// skipped are the nodes whose speakers are not replaced because no speaker can run
	// there, such as nodes that are down. Sorted by name, at most 64 are listed.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Skipped []SkippedNode `json:"skipped,omitempty"`
	// message describes what happens and what the operator waits for.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Message string `json:"message,omitempty"`
}

// RolloutEdits are the last edits of the spec that the operator has applied.
type RolloutEdits struct {
	// generation of the stack that the operator applied last.
	Generation int64 `json:"generation"`
	// last is when the operator began to apply the generation or, in a rollout, when it last applied
	// objects of the generation that it had not applied before.
	Last metav1.Time `json:"last"`
	// first is the same time for the first edit of a series. Between the edits of a series are less
	// than 20 s.
	First metav1.Time `json:"first"`
}

// RolloutStep is the replacement of the speaker of one node.
type RolloutStep struct {
	// name of the node.
	Name NodeName `json:"name"`
	// podUID is the UID of the pod that the operator deletes. Unset: something other than
	// the operator replaced the speaker.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	PodUID string `json:"podUID,omitempty"`
	// since is when the operator decided on the step.
	Since metav1.Time `json:"since"`
	// tries is how many further pods the operator deleted because they still had a former
	// revision.
	// +optional
	Tries int32 `json:"tries,omitempty"`
	// broken means that the speaker did not work before the step. The step then cannot
	// fail the revision.
	// +optional
	Broken bool `json:"broken,omitempty"`
	// sessions are the BGPPeers with which the node had an established session before the step.
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Sessions []ObjectName `json:"sessions,omitempty"`
	// routes is how many prefixes the node announced to routers before the step.
	// +optional
	Routes int32 `json:"routes,omitempty"`
	// gap is how many other speakers received nothing from this speaker, or sent it nothing, before the
	// step.
	// +optional
	Gap int32 `json:"gap,omitempty"`
	// addresses is how many addresses the node announced on the local network before the step.
	// +optional
	Addresses int32 `json:"addresses,omitempty"`
	// otherAddresses is how many addresses all other nodes announced on the local network before
	// the step.
	// +optional
	OtherAddresses int32 `json:"otherAddresses,omitempty"`
	// moved means that other speakers may have taken the addresses before the new speaker ran. It is
	// then no sign of a fault if the new speaker has no addresses.
	// +optional
	Moved bool `json:"moved,omitempty"`
	// coveredBy is the node whose speaker reported that the speaker of this step does not announce its
	// addresses, and has not withdrawn the report. Unset: there is no such report.
	// +optional
	CoveredBy NodeName `json:"coveredBy,omitempty"`
	// coveredByStartedAt is when the process of the speaker on coveredBy started. Unset: that speaker
	// has since restarted, been isolated or been missed by other speakers, so that it cannot withdraw
	// its report any more.
	// +optional
	CoveredByStartedAt *metav1.Time `json:"coveredByStartedAt,omitempty"`
}

// SkippedNode is a node whose speaker the rollout does not replace.
type SkippedNode struct {
	// name of the node.
	Name NodeName `json:"name"`
	// message is why the speaker is not replaced.
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message"`
}
