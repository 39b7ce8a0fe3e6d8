package cli

import (
	"context"
	"io"

	corev1 "k8s.io/api/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/lbstack/lbstack/internal/support"
)

// maxLog is the maximum number of bytes that podLog reads. It is more than a file of a support archive can
// have.
const maxLog = 8 * support.MaxFile

// podLog returns the log of a container, at most maxLog bytes of it.
func (c *cluster) podLog(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) ([]byte, error) {
	if c.logs == nil {
		config, err := c.flags.ToRESTConfig()
		if err != nil {
			return nil, err
		}
		api, err := corev1client.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		c.logs = func(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) ([]byte, error) {
			stream, err := api.Pods(namespace).GetLogs(pod, options).Stream(ctx)
			if err != nil {
				return nil, err
			}
			defer func() { _ = stream.Close() }()
			return io.ReadAll(io.LimitReader(stream, maxLog))
		}
	}
	return c.logs(ctx, namespace, pod, options)
}
