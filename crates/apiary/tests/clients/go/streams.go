package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
)

// streams runs commands in a pod and fetches from its port, over SPDY and over WebSocket.
func streams(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	pods := client.CoreV1().Pods(namespace)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "c", Image: "nginx", Ports: []corev1.ContainerPort{{ContainerPort: 80}},
		}}},
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return err
	}
	err = await(ctx, "a running pod", func() (bool, error) {
		pod, err := pods.Get(ctx, "web", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning, err
	})
	if err != nil {
		return err
	}
	door := func(name string, options *corev1.PodExecOptions) *url.URL {
		request := client.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name("web").SubResource(name)
		if options != nil {
			request = request.VersionedParams(options, scheme.ParameterCodec)
		}
		return request.URL()
	}
	if err := sessions(ctx, config, door); err != nil {
		return err
	}
	return ports(ctx, config, door("portforward", nil))
}

func sessions(ctx context.Context, config *rest.Config, door func(string, *corev1.PodExecOptions) *url.URL) error {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return err
	}
	type how struct {
		name string
		open func(*url.URL) (remotecommand.Executor, error)
	}
	hows := []how{{"websocket", func(url *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutor(config, "GET", url.String())
	}}}
	for _, protocol := range []string{"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io"} {
		hows = append(hows, how{protocol, func(url *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewSPDYExecutorForProtocols(transport, upgrader, "POST", url, protocol)
		}})
	}
	long := strings.Repeat("0123456789abcdef", 64*1024)
	for _, how := range hows {
		for _, run := range []struct {
			command []string
			stdin   string
		}{{[]string{"cat"}, "hello"}, {[]string{"cat"}, long}, {[]string{"sh", "-c", "exit 3"}, ""}, {[]string{"ls"}, ""}} {
			options := &corev1.PodExecOptions{Command: run.command, Stdin: run.stdin != "", Stdout: true, Stderr: true}
			executor, err := how.open(door("exec", options))
			if err != nil {
				return err
			}
			var stdout, stderr bytes.Buffer
			ends := remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}
			if run.stdin != "" {
				ends.Stdin = strings.NewReader(run.stdin)
			}
			err = executor.StreamWithContext(ctx, ends)
			said := stdout.String()
			if said == long {
				said = "everything"
			}
			fmt.Printf("%s %s: %q %q %v\n", how.name, strings.Join(run.command, " "), said, stderr.String(), err)
		}
	}
	return nil
}

func ports(ctx context.Context, config *rest.Config, door *url.URL) error {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return err
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(door, config)
	if err != nil {
		return err
	}
	for _, how := range []struct {
		name   string
		dialer httpstream.Dialer
	}{
		{"spdy", spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", door)},
		{"tunnel", tunnel},
	} {
		stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		forwarder, err := portforward.NewOnAddresses(how.dialer, []string{"127.0.0.1"}, []string{"0:80"}, stop, ready, io.Discard, io.Discard)
		if err != nil {
			return err
		}
		go func() { ended <- forwarder.ForwardPorts() }()
		select {
		case <-ready:
		case err := <-ended:
			return fmt.Errorf("%s: %w", how.name, err)
		case <-ctx.Done():
			return ctx.Err()
		}
		forwarded, err := forwarder.GetPorts()
		if err != nil {
			return err
		}
		address := fmt.Sprintf("http://127.0.0.1:%d", forwarded[0].Local)
		for _, path := range []string{"/", "/again"} {
			if err := fetch(ctx, how.name, address, path); err != nil {
				return err
			}
		}
		close(stop)
		if err := <-ended; err != nil {
			return fmt.Errorf("%s: %w", how.name, err)
		}
	}
	return nil
}

// fetch asks on a connection of its own.
func fetch(ctx context.Context, how, address, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+path, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s %s", how, response.Status, body)
	return nil
}
