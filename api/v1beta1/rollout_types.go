package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// RolloutSpec configures how changes of the components reach the nodes: changes of the version of the
// operator, and of fields that are in a pod template.
type RolloutSpec struct {
	// maxUnavailable is how many nodes that are up may be without a speaker that is ready at a
	// time because their speakers are replaced: a number from 1 to 64, or a share of the nodes
	// from 1% to 100%, rounded up; never more than 64. A speaker that is not ready for another reason counts
	// as well. The first node is always replaced alone. Default 1.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 64 : self.matches('^([1-9][0-9]?|100)%$')",message="maxUnavailable is a number from 1 to 64, or a share from 1% to 100%"
	// +kubebuilder:default=1
	// +optional
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// stepTimeoutSeconds is how long the replacement of one speaker, or of the controller, may
	// take until all is as before: the image is pulled, the pod is ready, other speakers receive
	// from it, and its BGP sessions are established. Meanwhile other nodes announce its addresses.
	// When Services stay unannounced it fails sooner. 60 to 3600, default 300.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=3600
	// +optional
	StepTimeoutSeconds int32 `json:"stepTimeoutSeconds,omitempty"`

	// onFailure is what happens when a replacement fails: Rollback (the default) takes the
	// components back to the last good revision, node by node; Halt replaces nothing more.
	// +kubebuilder:default=Rollback
	// +optional
	OnFailure RolloutFailurePolicy `json:"onFailure,omitempty"`
}

// RolloutFailurePolicy is what happens when a rollout fails.
// +kubebuilder:validation:Enum=Rollback;Halt
type RolloutFailurePolicy string

// What happens when a rollout fails.
const (
	// RolloutRollback takes the components back to the last good revision.
	RolloutRollback RolloutFailurePolicy = "Rollback"
	// RolloutHalt replaces nothing more.
	RolloutHalt RolloutFailurePolicy = "Halt"
)

// RolloutPhase is where a rollout is.
// +kubebuilder:validation:Enum=Installing;Controller;Canary;Speakers;Complete;RollingBack;RolledBack;Halted
type RolloutPhase string

// The phases of a rollout.
const (
	// RolloutInstalling: no revision has been good yet.
	RolloutInstalling RolloutPhase = "Installing"
	// RolloutController: the controller is replaced.
	RolloutController RolloutPhase = "Controller"
	// RolloutCanary: the speaker of one node is replaced.
	RolloutCanary RolloutPhase = "Canary"
	// RolloutSpeakers: the other speakers are replaced.
	RolloutSpeakers RolloutPhase = "Speakers"
	// RolloutComplete: the revision runs on all nodes that are up.
	RolloutComplete RolloutPhase = "Complete"
	// RolloutRollingBack: the components go back to the last good revision.
	RolloutRollingBack RolloutPhase = "RollingBack"
	// RolloutRolledBack: the revision failed, and the last good one runs.
	RolloutRolledBack RolloutPhase = "RolledBack"
	// RolloutHalted: the revision failed, and nothing is replaced any more.
	RolloutHalted RolloutPhase = "Halted"
)

// RolloutRevision names the pod templates of the components: a hash of that of the controller, a
// hyphen, a hash of that of the speakers. The ControllerRevision lbstack-REVISION in the namespace
// of the operator has them.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[0-9a-z]+-[0-9a-z]+$`
type RolloutRevision string

// RolloutStatus is the state of a rollout. The operator goes on from it after a restart.
type RolloutStatus struct {
	// phase of the rollout.
	Phase RolloutPhase `json:"phase"`
	// revision that the spec and the version of the operator give.
	Revision RolloutRevision `json:"revision"`
	// goodRevision is the last one of which a rollout was completed. Unset: there is none.
	// +optional
	GoodRevision RolloutRevision `json:"goodRevision,omitempty"`
	// failedRevision is the revision, if it failed: it is not tried again until another one is
	// wanted, or the annotation lbstack.io/retry of the stack changes.
	// +optional
	FailedRevision RolloutRevision `json:"failedRevision,omitempty"`
	// failedNode is the node on which it failed, if it was on one.
	// +optional
	FailedNode NodeName `json:"failedNode,omitempty"`
	// failure is why it failed.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Failure string `json:"failure,omitempty"`
	// failureUnreceived means that other speakers received no announcements of it on the network. If that
	// turns out to be so of the goodRevision as well, the revision is tried again.
	// +optional
	FailureUnreceived bool `json:"failureUnreceived,omitempty"`
	// updated is how many speakers are ready on the revision that they are to have: the
	// goodRevision while the phase is RollingBack or RolledBack, otherwise the revision.
	Updated int32 `json:"updated"`
	// total is how many speakers there should be, those of nodes that are down included.
	Total int32 `json:"total"`
	// since is when the rollout, or the way back, began.
	Since metav1.Time `json:"since"`
	// proven means that a speaker was replaced in this rollout, and that all was as before then.
	// +optional
	Proven bool `json:"proven,omitempty"`
	// announcementsUnverified means that speakers of the goodRevision received no announcements of another
	// one of it either: that they receive none proves nothing about the revision.
	// +optional
	AnnouncementsUnverified bool `json:"announcementsUnverified,omitempty"`
	// quietNode is the first node whose speaker announced addresses on the local network before it was
	// replaced in this rollout and announces none since, while others do. A second one fails the revision.
	// +optional
	QuietNode NodeName `json:"quietNode,omitempty"`
	// lostNodes is how many nodes went down while their speaker was replaced.
	// +optional
	LostNodes int32 `json:"lostNodes,omitempty"`
	// retry is the value of the annotation lbstack.io/retry that was followed last.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Retry string `json:"retry,omitempty"`
	// edits are the last ones of the spec: what speakers announce is not compared with what they announced
	// before an edit.
	// +optional
	Edits *RolloutEdits `json:"edits,omitempty"`
	// currentNodes are those whose speakers are being replaced, and those on which that takes too
	// long. In order by name, at most 64.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	CurrentNodes []RolloutStep `json:"currentNodes,omitempty"`
	// skipped are the nodes whose speakers are not replaced, since none can run there: those
	// that are down among them. In order by name, at most 64 are listed.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Skipped []SkippedNode `json:"skipped,omitempty"`
	// message describes what happens and what is waited for.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Message string `json:"message,omitempty"`
}

// RolloutEdits are edits of the spec that the operator has followed.
type RolloutEdits struct {
	// generation of the stack that was followed last.
	Generation int64 `json:"generation"`
	// last is when the operator began to follow it or, in a rollout, when it last applied objects of it that
	// were not applied before.
	Last metav1.Time `json:"last"`
	// first is when that was for the first of a series of edits with less than 20 s between them.
	First metav1.Time `json:"first"`
}

// RolloutStep is the replacement of the speaker of a node.
type RolloutStep struct {
	// name of the node.
	Name NodeName `json:"name"`
	// podUID is the UID of the pod that is deleted. Unset: somebody else replaced the speaker.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	PodUID string `json:"podUID,omitempty"`
	// since is when the step was decided.
	Since metav1.Time `json:"since"`
	// tries is how many further pods were deleted because they had a former revision as well.
	// +optional
	Tries int32 `json:"tries,omitempty"`
	// broken means that the speaker did not work before, so that the step cannot fail the
	// revision.
	// +optional
	Broken bool `json:"broken,omitempty"`
	// sessions are the BGPPeers with which the node had an established session before.
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Sessions []ObjectName `json:"sessions,omitempty"`
	// routes is how many addresses the node announced to routers before.
	// +optional
	Routes int32 `json:"routes,omitempty"`
	// gap is how many other speakers missed this one, or were missed by it, before.
	// +optional
	Gap int32 `json:"gap,omitempty"`
	// addresses is how many the node announced on the local network before.
	// +optional
	Addresses int32 `json:"addresses,omitempty"`
	// otherAddresses is how many addresses all other nodes announced on the local network before.
	// +optional
	OtherAddresses int32 `json:"otherAddresses,omitempty"`
	// moved says that other speakers may have taken the addresses before the new speaker ran, so that it
	// shows nothing if that has none.
	// +optional
	Moved bool `json:"moved,omitempty"`
	// coveredBy is the node whose speaker reported that the speaker of this step does not announce its
	// addresses, and has not reported since that it does. Unset: none did.
	// +optional
	CoveredBy NodeName `json:"coveredBy,omitempty"`
	// coveredByStartedAt is when the process of that speaker started. Unset: it restarted, was isolated
	// or was missed by the others since, so that it cannot report any more that the speaker of this
	// step announces its addresses.
	// +optional
	CoveredByStartedAt *metav1.Time `json:"coveredByStartedAt,omitempty"`
}

// SkippedNode is a node whose speaker is not replaced.
type SkippedNode struct {
	// name of the node.
	Name NodeName `json:"name"`
	// message is why.
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message"`
}
