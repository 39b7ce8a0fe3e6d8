package access

import (
	"context"
	"fmt"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

// APIServer implements Reviewer.
type APIServer struct {
	tokens   authentication.TokenReviewInterface
	accesses authorization.SubjectAccessReviewInterface
}

// NewAPIServer returns a reviewer that uses the connections of a client. Its requests have no client-side
// rate limit, since the Gate limits them.
func NewAPIServer(config *rest.Config, client *http.Client) (*APIServer, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.RateLimiter = -1, nil
	tokens, err := authentication.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("preparing to review tokens: %w", err)
	}
	accesses, err := authorization.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("preparing to review access: %w", err)
	}
	return &APIServer{tokens.TokenReviews(), accesses.SubjectAccessReviews()}, nil
}

// Review implements Reviewer.
func (a *APIServer) Review(ctx context.Context, token, path string) (Decision, error) {
	asked := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	who, err := a.tokens.Create(ctx, asked, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("reviewing a token: %w", err)
	}
	if !who.Status.Authenticated {
		return Unauthenticated, nil
	}
	access := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: who.Status.User.Username, UID: who.Status.User.UID, Groups: who.Status.User.Groups, Extra: convertExtra(who.Status.User.Extra),
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
	}}
	answer, err := a.accesses.Create(ctx, access, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("reviewing the access of %s to %s: %w", who.Status.User.Username, path, err)
	}
	if !answer.Status.Allowed {
		return Forbidden, nil
	}
	return Admitted, nil
}

// convertExtra converts the extra fields of a user from the type of TokenReviews to that of
// SubjectAccessReviews.
func convertExtra(from map[string]authenticationv1.ExtraValue) map[string]authorizationv1.ExtraValue {
	to := make(map[string]authorizationv1.ExtraValue, len(from))
	for key, values := range from {
		to[key] = authorizationv1.ExtraValue(values)
	}
	return to
}
