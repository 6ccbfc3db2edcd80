// Package relay runs one DERP region on loopback: DERP over TLS with a
// certificate of its own, and STUN. Nodes accept it without any switch.
package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stunserver"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// Region is the number of the only region; 900 and up are for one's own relays.
const Region = 900

type Relay struct {
	Host string // address
	Port int    // of DERP, TCP
	STUN int    // of STUN, UDP

	derp   *derpserver.Server
	web    *http.Server
	cancel context.CancelFunc
}

// Start listens on host, 127.0.0.1 or ::1, for DERP at port and for STUN at stunPort; 0 is any free one, and
// so is a stunPort that is taken.
func Start(host string, port, stunPort int) (*Relay, error) {
	cert, err := selfSigned()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stun := stunserver.New(ctx)
	if stun.Listen(net.JoinHostPort(host, fmt.Sprint(stunPort))) != nil {
		if err := stun.Listen(net.JoinHostPort(host, "0")); err != nil {
			cancel()
			ln.Close()
			return nil, err
		}
	}
	go stun.Serve()

	r := &Relay{
		Host:   host,
		Port:   ln.Addr().(*net.TCPAddr).Port,
		STUN:   stun.LocalAddr().(*net.UDPAddr).Port,
		derp:   derpserver.New(key.NewNode(), logger.Discard),
		cancel: cancel,
	}
	mux := http.NewServeMux()
	mux.Handle("/derp", derpserver.AddWebSocketSupport(r.derp, derpserver.Handler(r.derp)))
	mux.Handle("/derp/", derpserver.Handler(r.derp))
	mux.HandleFunc("/generate_204", derpserver.ServeNoContent)
	r.web = &http.Server{
		Handler:  mux,
		ErrorLog: log.New(io.Discard, "", 0),
		// DERP takes the connection over, which HTTP/2 cannot give away.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}},
	}
	go r.web.ServeTLS(ln, "", "")
	return r, nil
}

// Close ends the listeners and every connection.
func (r *Relay) Close() {
	r.cancel()
	r.web.Close()
	r.derp.Close()
}

// Map is the DERP map that names this relay.
func (r *Relay) Map() *tailcfg.DERPMap {
	ip4, ip6 := r.Host, "none"
	if strings.Contains(r.Host, ":") {
		ip4, ip6 = "none", r.Host
	}
	return &tailcfg.DERPMap{
		OmitDefaultRegions: true,
		Regions: map[int]*tailcfg.DERPRegion{Region: {
			RegionID:   Region,
			RegionCode: "lab",
			RegionName: "Lab",
			Nodes: []*tailcfg.DERPNode{{
				Name:             "900a",
				RegionID:         Region,
				HostName:         r.Host,
				IPv4:             ip4,
				IPv6:             ip6,
				DERPPort:         r.Port,
				STUNPort:         r.STUN,
				STUNTestIP:       r.Host,
				InsecureForTests: true,
			}},
		}},
	}
}

func selfSigned() (tls.Certificate, error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "lab relay"},
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, priv.Public(), priv)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, nil
}
