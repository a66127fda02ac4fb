// Command srfake serves franz-go's fake Schema Registry on a free port of the loopback interface.
//
// Its first line says where; then comes one line for each request. A line of input is answered by an empty one, so that
// a reader knows what had come by then. It ends when its standard input does: it cannot outlive who started it.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

func main() {
	user := flag.String("user", "", "name:password that requests must bring")
	certificate := flag.String("certificate", "", "file to write the server's certificate to; makes it HTTPS")
	flag.Parse()

	var options []srfake.Option
	if *user != "" {
		options = append(options, srfake.WithAuth("Basic "+base64.StdEncoding.EncodeToString([]byte(*user))))
	}
	registry := srfake.NewRegistry(options...)
	registry.Intercept(func(_ http.ResponseWriter, request *http.Request) bool {
		fmt.Println(request.Method, request.URL)
		return false
	})

	server := httptest.NewUnstartedServer(registry.Handler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what some tests are about
	if *certificate == "" {
		server.Start()
	} else {
		server.StartTLS()
		var text bytes.Buffer
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(*certificate, text.Bytes(), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	defer server.Close()
	fmt.Println(server.URL)
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		fmt.Println()
	}
}
