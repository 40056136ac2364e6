/* load.c: bounded HTTP/1.1 POST load generator (one thread, epoll), prints one JSON line.
 *   load -p PORT [-u PATH] -b BODYFILE [-H 'K: V']... [-c CONNS] [-d SECONDS] [-n MAXREQ]
 *           [-r RATE] [-e EXPECT] [-t TIMEOUT_S]
 * -r 0 (default): closed loop, CONNS always busy.  -r R: open loop at R/s; latency counts from the
 * scheduled instant, so queueing is not hidden. Every reply must be 200 and contain EXPECT.
 * ttfb = first body byte; lat = whole reply. Loopback only. Hard limits: 120 s, 5,000,000 requests. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define BUF (1 << 20)
typedef struct { int fd, busy, status, hl; long clen; char *in; int n, cpos, bodyend; int64_t start, ttfb; } Conn;
static Conn *cs; static int ncon = 64, port, ep, err_status, err_body, err_conn, err_timeout, inflight; static long done_, bytes;
static char *req; static int reqlen; static const char *expect = "\"usage\"";
static float *lat, *ttf; static long maxreq = 5000000;
static char firsterr[400];
static int64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }
static int copen(Conn *c) {
  c->fd = socket(AF_INET, SOCK_STREAM, 0); int one = 1;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(c->fd, (void *)&a, sizeof a)) { close(c->fd); c->fd = -1; return -1; }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c}; epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e); return 0;
}
static void fail(Conn *c, int *ctr) { (*ctr)++; if (!firsterr[0] && c->n) { int k = c->n < 380 ? c->n : 380; memcpy(firsterr, c->in, k); firsterr[k] = 0; }
  if (c->busy) { inflight--; }
  c->busy = 0; close(c->fd); c->fd = -1; c->n = 0; }
static int sendreq(Conn *c, int64_t at) {
  for (int tries = 0; tries < 2; tries++) {
    if (c->fd < 0 && copen(c)) { err_conn++; return -1; }
    c->n = 0; c->hl = 0; c->clen = -2; c->ttfb = 0; c->cpos = 0; c->bodyend = 0;
    if (send(c->fd, req, reqlen, MSG_NOSIGNAL) == reqlen) { c->busy = 1; c->start = at; inflight++; return 0; }
    close(c->fd); c->fd = -1;
  }
  err_conn++; return -1;
}
static int complete(Conn *c) { /* 1 done, 0 more */
  c->in[c->n] = 0;
  if (!c->hl) {
    char *e = memmem(c->in, c->n, "\r\n\r\n", 4); if (!e) return 0;
    c->hl = e - c->in + 4; c->status = atoi(c->in + 9); c->clen = -2; c->cpos = c->hl;
    for (char *p = c->in; p < e; ) { p = memmem(p, e + 2 - p, "\r\n", 2) + 2;
      if (!strncasecmp(p, "content-length:", 15)) c->clen = atol(p + 15);
      else if (!strncasecmp(p, "transfer-encoding:", 18)) c->clen = -1; }
    if (c->clen == -2) c->clen = 0;
  }
  if (c->n > c->hl && !c->ttfb) c->ttfb = now_ns();
  if (c->clen >= 0) return c->n >= c->hl + c->clen;
  for (;;) {
    char *p = c->in + c->cpos, *nl = memmem(p, c->n - c->cpos, "\r\n", 2); if (!nl) return 0;
    long k = strtol(p, NULL, 16); int need = (nl - c->in) + 2 + k + 2;
    if (c->n < need) return 0;
    if (k == 0) return 1;
    c->cpos = need;
  }
}
static int cmpf(const void *a, const void *b) { float x = *(float *)a, y = *(float *)b; return (x > y) - (x < y); }
static void pct(const char *nm, float *v, long n) {
  qsort(v, n, sizeof *v, cmpf); double s = 0; for (long i = 0; i < n; i++) s += v[i];
#define P(q) (n ? v[(long)((n - 1) * q)] : 0.0)
  printf("\"%s_us\":{\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f},", nm, n ? s / n : 0, P(.5), P(.9), P(.99), P(1.0));
}
static void jesc(const char *s) { for (; *s; s++) { if (*s == '"' || *s == '\\') printf("\\%c", *s); else if ((unsigned char)*s < 32) printf(" "); else putchar(*s); } }
int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN); prctl(PR_SET_TIMERSLACK, 1);
  const char *path = "/v1/chat/completions", *bodyf = NULL; double dur = 5, rate = 0, tmo = 30; char hdr[8192] = ""; int o;
  while ((o = getopt(argc, argv, "p:u:b:H:c:d:n:r:e:t:")) > 0) switch (o) {
    case 'p': port = atoi(optarg); break; case 'u': path = optarg; break; case 'b': bodyf = optarg; break;
    case 'H': strncat(hdr, optarg, 2000); strcat(hdr, "\r\n"); break; case 'c': ncon = atoi(optarg); break;
    case 'd': dur = atof(optarg); break; case 'n': maxreq = atol(optarg); break; case 'r': rate = atof(optarg); break;
    case 'e': expect = optarg; break; case 't': tmo = atof(optarg); break; default: return 2; }
  if (!port || !bodyf || dur > 120 || maxreq > 5000000 || ncon > 2048) { fprintf(stderr, "bad arguments\n"); return 2; }
  FILE *f = fopen(bodyf, "rb"); if (!f) { perror(bodyf); return 2; } char *body = malloc(1 << 20); size_t bl = fread(body, 1, 1 << 20, f); fclose(f);
  req = malloc(bl + 16384); reqlen = sprintf(req, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: */*\r\n%sContent-Length: %zu\r\n\r\n", path, port, hdr, bl);
  memcpy(req + reqlen, body, bl); reqlen += bl;
  lat = malloc(maxreq * sizeof *lat); ttf = malloc(maxreq * sizeof *ttf); cs = calloc(ncon, sizeof *cs); ep = epoll_create1(0);
  for (int i = 0; i < ncon; i++) { cs[i].fd = -1; cs[i].in = malloc(BUF + 1); }
  int64_t t0 = now_ns(), end = t0 + (int64_t)(dur * 1e9), gap = rate > 0 ? (int64_t)(1e9 / rate) : 0, next = t0, lastchk = t0, tl = t0; long started = 0; int failsafe = 0;
  struct epoll_event ev[256];
  for (;;) {
    int64_t t = now_ns(); int stop = t >= end || started >= maxreq;
    if (stop && !inflight) break;
    if (t > end + (int64_t)(tmo * 1e9)) break;
    if (err_conn > 200 || failsafe > 2000) break;
    if (!stop) {
      if (!gap) { for (int i = 0; i < ncon && started < maxreq; i++) if (!cs[i].busy) { if (!sendreq(&cs[i], now_ns())) started++; else failsafe++; } }
      else while (next <= t && started < maxreq) { int i = 0; while (i < ncon && cs[i].busy) i++; if (i == ncon) break; if (!sendreq(&cs[i], next)) started++; else failsafe++; next += gap; }
    }
    int64_t w = 50000000; if (gap && !stop) { w = next - now_ns(); if (w < 0) { w = 0; int idle = 0; for (int i = 0; i < ncon; i++) idle |= !cs[i].busy; if (!idle) w = 50000000; } if (w > 50000000) w = 50000000; }
    struct timespec ts = {0, w}; int n = epoll_pwait2(ep, ev, 256, &ts, NULL);
    for (int i = 0; i < n; i++) {
      Conn *c = ev[i].data.ptr; if (c->fd < 0) continue;
      if (c->n >= BUF) { fail(c, &err_body); continue; }
      ssize_t r = recv(c->fd, c->in + c->n, BUF - c->n, 0);
      if (r <= 0) { if (c->busy) fail(c, &err_conn); else { close(c->fd); c->fd = -1; } continue; }
      if (!c->busy) { close(c->fd); c->fd = -1; continue; }
      c->n += r; bytes += r;
      if (complete(c)) {
        int64_t te = now_ns();
        if (c->status != 200) { fail(c, &err_status); failsafe++; continue; }
        if (!memmem(c->in + c->hl, c->n - c->hl, expect, strlen(expect))) { fail(c, &err_body); failsafe++; continue; }
        lat[done_] = (te - c->start) / 1e3; ttf[done_] = (c->ttfb - c->start) / 1e3; done_++; inflight--; c->busy = 0; tl = te;
        if (!gap && now_ns() < end && started < maxreq) { if (!sendreq(c, te)) started++; }
      }
    }
    t = now_ns();
    if (t - lastchk > 200000000) { lastchk = t; for (int i = 0; i < ncon; i++) if (cs[i].busy && t - cs[i].start > (int64_t)(tmo * 1e9)) fail(&cs[i], &err_timeout); }
  }
  double el = (tl - t0) / 1e9; if (el <= 0) el = 1e-9;
  printf("{\"ok\":%ld,\"elapsed_s\":%.4f,\"rps\":%.2f,\"bytes\":%ld,\"err_status\":%d,\"err_body\":%d,\"err_conn\":%d,\"err_timeout\":%d,", done_, el, done_ / el, bytes, err_status, err_body, err_conn, err_timeout);
  pct("lat", lat, done_); pct("ttfb", ttf, done_);
  printf("\"first_error\":\""); jesc(firsterr); printf("\"}\n");
  return 0;
}
