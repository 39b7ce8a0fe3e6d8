package stack

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/preflight"
	"github.com/lbstack/lbstack/internal/rollout"
)

const (
	// preflightInterval is the time until the next check if a check has failed. It is long, since only an
	// upgrade changes the result.
	preflightInterval = time.Minute
	// schemasTimeout is how long reading the schemas may take.
	schemasTimeout = 10 * time.Second
)

// unfitReason is why the operator changes nothing in the cluster.
type unfitReason struct{ reason, message string }

// checkPreflight returns why this version cannot work in the cluster; nil: it can. After all checks have
// passed once, it does not repeat them. The parameter revisions has the stored revisions, since only they
// show the version of a rollout that has not ended. A revision that was rolled back everywhere does not
// count, so that an administrator can install the release before it again. checkPreflight returns an error if
// no check fails, but not all facts could be read.
func (r *Reconciler) checkPreflight(ctx context.Context, stack *v1beta1.LoadBalancerStack, revisions map[rollout.Revision]podTemplates) (*unfitReason, error) {
	if r.fits {
		return nil, nil
	}
	ran, stored := []string{stack.Status.Version}, apiconv.ParseRolloutStatus(stack.Status.Rollout)
	for revision, t := range revisions {
		if stored.Phase != rollout.PhaseRolledBack || revision == stored.Good {
			ran = append(ran, t.version)
		}
	}
	facts := preflight.Facts{
		Ran: ran, Version: r.Version, Needed: r.needed,
		Permit: v1beta1.AnnotationAllowDowngrade, AllowedDowngrade: stack.Annotations[v1beta1.AnnotationAllowDowngrade],
	}
	var unread error
	if r.Kubernetes != nil {
		info, err := r.Kubernetes()
		if err == nil {
			facts.Kubernetes, facts.KubernetesVersion = minorVersion(info), info.GitVersion
		} else {
			unread = fmt.Errorf("reading the version of Kubernetes: %w", err)
		}
	}
	if r.Schemas != nil {
		served, err := r.Schemas(ctx)
		facts.Served = served
		unread = errors.Join(unread, err)
	}
	problem, message := preflight.Check(facts)
	if r.fits = unread == nil && problem == preflight.None; problem == preflight.None {
		return nil, unread
	}
	return &unfitReason{map[preflight.Problem]string{
		preflight.OldKubernetes: v1beta1.ReasonUnsupportedKubernetes,
		preflight.OldSchema:     v1beta1.ReasonCRDsOutdated,
		preflight.Downgrade:     v1beta1.ReasonDowngradeRefused,
	}[problem], message}, nil
}

// minorVersion returns the minor version of Kubernetes 1; zero: it is not known.
func minorVersion(info *version.Info) int {
	minor, err := strconv.Atoi(strings.TrimRight(info.Minor, "+"))
	if err != nil || info.Major != "1" {
		return 0
	}
	return minor
}

// SchemaReader returns a function that reads the schemas of lbstack's kinds from the API server, by kind.
// Every account has the right to read them.
func SchemaReader(server rest.Interface) func(context.Context) (map[string]*preflight.Schema, error) {
	return func(ctx context.Context) (map[string]*preflight.Schema, error) {
		ctx, cancel := context.WithTimeout(ctx, schemasTimeout)
		defer cancel()
		text, err := server.Get().AbsPath(apiconv.SchemasPath()).Do(ctx).Raw()
		if apierrors.IsNotFound(err) {
			return map[string]*preflight.Schema{}, nil // the API server has no kind of the group
		}
		if err != nil {
			return nil, fmt.Errorf("reading the schemas of %s: %w", v1beta1.GroupVersion, err)
		}
		return apiconv.ParseSchemas(text)
	}
}
