package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	extensionGroup = "story.example.com"
	extensionPath  = "/apis/" + extensionGroup + "/v1"
)

// object is JSON.
type object = map[string]any

// extension is an API server of its own that the cluster's server passes requests on to. It serves greetings until its
// standard input ends, and then takes itself out of the cluster.
func extension(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	trust, err := client.CoreV1().ConfigMaps("kube-system").Get(ctx, "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil {
		return err
	}
	proxies := x509.NewCertPool()
	if !proxies.AppendCertsFromPEM([]byte(trust.Data["requestheader-client-ca-file"])) {
		return fmt.Errorf("no authority of proxies in %v", trust.Data)
	}
	var names []string
	if err := json.Unmarshal([]byte(trust.Data["requestheader-allowed-names"]), &names); err != nil {
		return err
	}
	certificate, bundle, err := selfSigned("extension." + namespace + ".svc")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: greetings(names),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{certificate},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    proxies,
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	defer server.Close()
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	gone, err := register(ctx, api, namespace, listener.Addr().(*net.TCPAddr).Port, bundle)
	if err != nil {
		return err
	}
	fmt.Println("available")
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-ended:
	}
	if err := gone(); err != nil {
		return err
	}
	fmt.Println("gone")
	return nil
}

// register makes the Service, its endpoints and the APIService, and waits until the server is available. It returns what
// takes the group out of the cluster.
func register(ctx context.Context, api dynamic.Interface, namespace string, port int, bundle []byte) (func() error, error) {
	create := func(group, version, resource, namespace string, manifest object) error {
		gvr := schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
		into := dynamic.ResourceInterface(api.Resource(gvr))
		if namespace != "" {
			into = api.Resource(gvr).Namespace(namespace)
		}
		_, err := into.Create(ctx, &unstructured.Unstructured{Object: manifest}, metav1.CreateOptions{})
		return err
	}
	service := object{
		"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "extension"},
		"spec": object{"ports": []any{object{"name": "https", "port": int64(443)}}},
	}
	slice := object{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
		"metadata":  object{"name": "extension-1", "labels": object{"kubernetes.io/service-name": "extension"}},
		"endpoints": []any{object{"addresses": []any{"127.0.0.1"}}},
		"ports":     []any{object{"name": "https", "port": int64(port)}},
	}
	name := "v1." + extensionGroup
	apiService := object{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": object{"name": name},
		"spec": object{
			"group": extensionGroup, "version": "v1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100),
			"caBundle": base64.StdEncoding.EncodeToString(bundle), "service": object{"namespace": namespace, "name": "extension"},
		},
	}
	if err := create("", "v1", "services", namespace, service); err != nil {
		return nil, err
	}
	if err := create("discovery.k8s.io", "v1", "endpointslices", namespace, slice); err != nil {
		return nil, err
	}
	if err := create("apiregistration.k8s.io", "v1", "apiservices", "", apiService); err != nil {
		return nil, err
	}
	services := api.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	err := await(ctx, "that the APIService is available", func() (bool, error) {
		known, err := services.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		conditions, _, err := unstructured.NestedSlice(known.Object, "status", "conditions")
		return slices.ContainsFunc(conditions, func(c any) bool { return c.(object)["status"] == "True" }), err
	})
	gone := func() error { return services.Delete(ctx, name, metav1.DeleteOptions{}) }
	return gone, err
}

// greetings answers as an API server; proxies must have one of these names.
func greetings(names []string) http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, value any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { write(w, value) })
	}
	answer(extensionPath, object{
		"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": extensionGroup + "/v1",
		"resources": []any{object{
			"name": "greetings", "singularName": "greeting", "namespaced": true, "kind": "Greeting",
			"verbs": []string{"get", "list"}, "shortNames": []string{"gr"},
		}},
	})
	answer("/openapi/v3", object{"paths": object{
		extensionPath[1:]: object{"serverRelativeURL": "/openapi/v3" + extensionPath + "?hash=1"},
	}})
	kind := object{"group": extensionGroup, "version": "v1", "kind": "Greeting"}
	answer("/openapi/v3"+extensionPath, object{
		"openapi": "3.0.0", "info": object{"title": "greetings", "version": "v1"},
		"paths": object{extensionPath + "/namespaces/{namespace}/greetings": object{"get": object{
			"x-kubernetes-action": "list", "x-kubernetes-group-version-kind": kind, "responses": object{},
		}}},
		"components": object{"schemas": object{"com.example.story.v1.Greeting": object{
			"type": "object", "description": "Greeting is what somebody says.",
			"x-kubernetes-group-version-kind": []any{kind},
			"properties": object{
				"apiVersion": object{"type": "string"}, "kind": object{"type": "string"},
				"text": object{"type": "string", "description": "What is said."},
			},
		}}},
	})
	one := func(r *http.Request, name string) object {
		user := r.Header.Get("X-Remote-User")
		return object{
			"apiVersion": extensionGroup + "/v1", "kind": "Greeting", "text": name + " " + user,
			"metadata": object{"name": name, "namespace": r.PathValue("namespace"), "annotations": object{
				"groups": strings.Join(r.Header.Values("X-Remote-Group"), ","),
				"secret": r.Header.Get("Authorization"),
			}},
		}
	}
	collection := extensionPath + "/namespaces/{namespace}/greetings"
	mux.HandleFunc("GET "+collection, func(w http.ResponseWriter, r *http.Request) {
		items := []any{one(r, "goodbye"), one(r, "hello")}
		write(w, object{"apiVersion": extensionGroup + "/v1", "kind": "GreetingList", "metadata": object{}, "items": items})
	})
	mux.HandleFunc("GET "+collection+"/{name}", func(w http.ResponseWriter, r *http.Request) {
		write(w, one(r, r.PathValue("name")))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy := r.TLS.PeerCertificates[0].Subject.CommonName
		if !slices.Contains(names, proxy) {
			http.Error(w, proxy+" is no proxy", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func write(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
	}
}

// selfSigned is a serving certificate for a name, and the same as PEM.
func selfSigned(name string) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, bundle, nil
}
