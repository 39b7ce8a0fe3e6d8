package stack

import (
	"fmt"
	"strings"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/rollout"
)

// maxRolloutMessageBytes is the maximum length of RolloutStatus.Message, in bytes.
const maxRolloutMessageBytes = 1024

// rolloutFinding is what a pass reports about a rollout.
type rolloutFinding struct {
	status *v1beta1.RolloutStatus
	// moving reports whether a rollout or a rollback is under way, see isMoving.
	moving bool
	// brief is the message of status without the problems of pods, for conditions that list these problems
	// elsewhere.
	brief string
	// version is the version of the revision that the components should have.
	version string
	// reason is the reason of the condition Ready for a failed revision; empty: no revision failed.
	reason string
	// failure is a sentence about the failed revision.
	failure string
	// again is the time until the next decision; 0: none is needed.
	again time.Duration
}

// failureMessage returns the sentence about the failed revision. It leaves out the problems of pods that the
// sentences about the components report.
func (f *rolloutFinding) failureMessage(components []componentState) string {
	sentence := f.failure
	for _, c := range components {
		for _, p := range c.failing {
			for _, text := range []string{": " + p.String(), "; " + p.String(), ": " + p.text} {
				sentence = strings.Replace(sentence, text, "", 1)
			}
		}
	}
	return sentence
}

// untilNextDecision returns how long until the next decision; 0: none is needed.
func (f *rolloutFinding) untilNextDecision() time.Duration {
	if f == nil {
		return 0
	}
	return f.again
}

// finding returns what the pass reports about the rollout.
func (c *changePlan) finding() *rolloutFinding {
	f := &rolloutFinding{moving: isMoving(c.Next), version: c.version(c.Progress.Target), again: c.Again}
	if f.moving { // no watch event shows that the API server does not answer: only a pass notices it
		f.again = shorterWait(f.again, eventsInterval)
	}
	f.status = apiconv.RolloutStatus(c.Next, c.Progress, bounded.Cut(c.progressMessage(false), maxRolloutMessageBytes))
	f.brief = bounded.Cut(c.progressMessage(true), maxRolloutMessageBytes)
	f.reason, f.failure = c.failureSentence()
	return f
}

// isMoving reports whether a rollout or a rollback is under way. The first installation is neither, nor
// is the update of a node that comes back after a rollout.
func isMoving(s rollout.Stored) bool {
	switch s.Phase {
	case rollout.PhaseController, rollout.PhaseCanary, rollout.PhaseRollingBack:
		return true
	case rollout.PhaseSpeakers:
		return s.Revision != s.Good
	}
	return false
}

// progressMessage describes the progress of a rollout. A brief message leaves out what the rollout waits for
// on each node.
func (c *changePlan) progressMessage(brief bool) string {
	p := c.Progress
	words := []string{fmt.Sprintf("%d of %d speakers run %s and are ready", p.Updated, p.Total, c.targetName())}
	if c.Next.Phase == rollout.PhaseController {
		words = append(words, "the controller is replaced first")
	}
	if c.isUnverified() {
		words = append(words, "the rollout does not check whether speakers announce their addresses: with the last good revision, a node already received no announcements of another node, as in a private VLAN or with isolated switch ports")
	}
	if len(p.Unproven) > 0 {
		tail := ""
		if len(p.Waiting) > 0 || len(p.Following) > 0 {
			tail = ": the speaker of one more node is replaced before the others"
		}
		words = append(words, "no address is announced by "+speakersOn(nodeNames(p.Unproven))+", so nothing shows yet that the revision works"+tail)
	}
	var late []string
	for _, note := range p.Waiting {
		if brief {
			late = append(late, string(note.Node))
			continue
		}
		late = append(late, fmt.Sprintf("%s: %s", note.Node, note.Text))
	}
	if len(late) > 0 {
		words = append(words, "waiting for "+joinWords(late, "; "))
	}
	if len(p.Following) > 0 {
		words = append(words, "next to be replaced: "+speakersOn(nodeNames(p.Following)))
	}
	if p.Blocked != "" {
		words = append(words, "no speaker is replaced now: "+p.Blocked)
	}
	var skipped []string
	for _, note := range p.Skipped {
		skipped = append(skipped, fmt.Sprintf("the node %s is skipped: it is %s", note.Node, note.Text))
	}
	if len(skipped) > 0 {
		words = append(words, joinWords(skipped, "; "))
	}
	return strings.Join(words, "; ")
}

// isUnverified reports whether new speakers are rolled out without evidence that they announce addresses.
func (c *changePlan) isUnverified() bool {
	return c.Next.Unverified && c.Next.Revision.Speaker != c.Next.Good.Speaker && (c.Next.Phase == rollout.PhaseCanary || c.Next.Phase == rollout.PhaseSpeakers)
}

// targetName returns the name of the revision that the components should have. This is its version, with its
// hashes if the other revision of the rollout has the same version.
func (c *changePlan) targetName() string {
	version := c.version(c.Progress.Target)
	if other := c.otherRevision(); other != (rollout.Revision{}) && c.version(other) == version {
		return fmt.Sprintf("the revision %s of %s", c.Progress.Target, version)
	}
	return version
}

// otherRevision returns the revision of the rollout that is not its target: the former revision, or the one
// that failed.
func (c *changePlan) otherRevision() rollout.Revision {
	if c.Progress.Target == c.Next.Good {
		return c.Next.FailedRevision()
	}
	return c.Next.Good
}

func nodeNames(nodes []lb.NodeName) (list []string) {
	for _, node := range nodes {
		list = append(list, string(node))
	}
	return list
}

// failureSentence returns the reason of the condition Ready, and a sentence about the failed revision and
// what to do; both are empty if no revision failed.
func (c *changePlan) failureSentence() (reason, sentence string) {
	failed := c.Next.FailedRevision()
	if failed == (rollout.Revision{}) {
		return "", ""
	}
	where := ""
	if c.Next.Failure.Node != "" {
		where = fmt.Sprintf(" on %s", c.Next.Failure.Node)
	}
	what := fmt.Sprintf("the revision %s (%s) failed%s: %s", failed, c.version(failed), where, c.Next.Failure.Why)
	const remedy = "correct the spec or the image of the operator, or change the annotation " + v1beta1.AnnotationRetry + " of the LoadBalancerStack to try the failed revision again"
	switch c.Next.Phase {
	case rollout.PhaseRollingBack:
		again := ""
		if c.Next.Failure.Unreceived {
			again = "; if nodes do not receive the announcements of that revision either, the operator tries the failed revision again"
		}
		return v1beta1.ReasonRollingBack, fmt.Sprintf("%s: the components go back to the revision %s (%s)%s", what, c.Next.Good, c.version(c.Next.Good), again)
	case rollout.PhaseRolledBack:
		return v1beta1.ReasonRolledBack, fmt.Sprintf("%s: the revision %s (%s) runs again: %s", what, c.Next.Good, c.version(c.Next.Good), remedy)
	}
	return v1beta1.ReasonHalted, fmt.Sprintf("%s: nothing is replaced any more: %s, or set spec.speaker.rollout.onFailure to Rollback", what, remedy)
}
