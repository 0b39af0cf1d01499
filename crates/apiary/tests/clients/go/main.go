// Command clients runs the stories of real Go clients against the cluster of a kubeconfig and prints what they saw:
// an informer, leader election, sessions and forwarded ports (client-go), a manager with a controller
// (controller-runtime), and an extension API server that the cluster passes requests on to.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// limit is the longest that a story takes.
const limit = 60 * time.Second

func main() {
	stories := map[string]func(context.Context, *rest.Config, string) error{
		"extension": extension,
		"informer":  informer,
		"leader":    leader,
		"manager":   runManager,
		"streams":   streams,
	}
	if len(os.Args) != 4 || stories[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: clients extension|informer|leader|manager|streams KUBECONFIG NAMESPACE")
		os.Exit(2)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[2])
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		err = stories[os.Args[1]](ctx, config, os.Args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// await polls until done says true; what names it in the error.
func await(ctx context.Context, what string, done func() (bool, error)) error {
	for {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not happen: %w", what, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
