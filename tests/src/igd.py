"""A router's UPnP side, in small: igd.py LAN_ADDRESS WAN_ADDRESS

Answers searches, describes itself, and opens, counts and closes ports with nft, in the table `igd` that this makes. It is as strict as routers
are: who asks for a port gets it led to itself and to nobody else, and where another has it, error 718.
"""

import http.server
import re
import socket
import struct
import subprocess
import sys
import threading

LAN, WAN = sys.argv[1:3]
KIND = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
HERE = f"http://{LAN}:5000"
opened = {}


def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def write_rules():
    rules = "add table ip igd\ndelete table ip igd\nadd table ip igd\n"
    rules += "add chain ip igd in { type nat hook prerouting priority -100; }\n"
    for (protocol, port), (host, inner) in opened.items():
        rules += f'add rule ip igd in iifname "wan" {protocol.lower()} dport {port} dnat to {host}:{inner}\n'
    nft(rules)


class Router(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fault(self, code):
        self.answer(500, f"<e:Envelope><e:Body><e:Fault><detail><UPnPError><errorCode>{code}</errorCode></UPnPError></detail></e:Fault></e:Body></e:Envelope>")

    def do_GET(self):
        service = f"<service><serviceType>{SERVICE}</serviceType><controlURL>/ctl/IPConn</controlURL></service>"
        self.answer(200, f"<?xml version='1.0'?><root xmlns='urn:schemas-upnp-org:device-1-0'><device><deviceType>{KIND}</deviceType><serviceList>{service}</serviceList></device></root>")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        action = self.headers["SOAPAction"].strip('"').removeprefix(SERVICE + "#")
        value = lambda name: re.search(f"<{name}>([^<]*)</{name}>", body).group(1)
        result = ""
        if action == "GetExternalIPAddress":
            result = f"<NewExternalIPAddress>{WAN}</NewExternalIPAddress>"
        else:
            key = value("NewProtocol"), int(value("NewExternalPort"))
            theirs = opened.get(key, (self.client_address[0], 0))[0] != self.client_address[0]
            if theirs:
                return self.fault(718)
            if action == "AddPortMapping":
                if value("NewInternalClient") != self.client_address[0]:
                    return self.fault(606)
                opened[key] = value("NewInternalClient"), int(value("NewInternalPort"))
            elif action == "DeletePortMapping":
                if opened.pop(key, None) is None:
                    return self.fault(714)
            else:
                return self.fault(401)
            write_rules()
        self.answer(200, f"<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><u:{action}Response xmlns:u='{SERVICE}'>{result}</u:{action}Response></s:Body></s:Envelope>")

    def log_message(self, *_):
        pass


def answer_searches(sock):
    while True:
        question, whom = sock.recvfrom(2048)
        if question.startswith(b"M-SEARCH") and KIND.encode() in question:
            sock.sendto(f"HTTP/1.1 200 OK\r\nST: {KIND}\r\nLOCATION: {HERE}/root.xml\r\n\r\n".encode(), whom)


sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("", 1900))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.255.255.250") + socket.inet_aton(LAN))
write_rules()
server = http.server.ThreadingHTTPServer((LAN, 5000), Router)
threading.Thread(target=answer_searches, args=(sock,), daemon=True).start()
print("ready", flush=True)
server.serve_forever()
