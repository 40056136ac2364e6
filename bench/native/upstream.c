/* upstream.c: very fast OpenAI/Anthropic look-alike upstream (one thread, epoll).
 *   upstream LISTEN...      LISTEN = PORT[:DELAY_MS[:CHUNK_DELAY_MS]]   (loopback only)
 *   env STUB_CHUNKS=50
 * POST any path -> ~1 KB chat.completion JSON with usage, after DELAY_MS.
 *   body has "stream":true -> SSE: role chunk, STUB_CHUNKS content chunks, finish chunk,
 *   usage chunk, [DONE]; first event after DELAY_MS, later ones CHUNK_DELAY_MS apart
 *   (0 = one send() per event, back to back).
 *   "[[stub:DELAY_MS:CHUNK_DELAY_MS]]" anywhere in the body overrides the delays for that request.
 * POST .../v1/messages -> the same in Anthropic's words. GET -> 200 {"object":"list",...}.
 * Keep-alive and pipelining are supported, Content-Length and chunked request bodies too. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

#define MAXFD 8192
#define INBUF (2 * 1024 * 1024)
typedef struct { int lidx; double delay, cdelay; uint32_t gen; int busy, stream, chunk, wire, close_after; char *in; int inlen; char *out; int outlen, outoff; } Conn;
typedef struct { int fd; double delay, cdelay; } Lst;
typedef struct { int64_t at; int fd; uint32_t gen; } Tmr;
typedef struct { Tmr *q; int head, tail, cap; } Fifo;

static Conn conns[MAXFD];
static Lst lst[16];
static Fifo qs[64]; static double qd[64]; static int nq; /* one queue per distinct delay => FIFO order */
static int nl, ep, nchunks = 50;
static char *R_JSON, *R_ANT, *R_LIST, *SSE_HEAD, **EV, **EVS[2];
static int L_JSON, L_ANT, L_LIST, L_HEAD, nev, *L_EV, *L_EVS[2];

static int64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }

static char *mkresp(const char *body, int *len) {
  char *p; *len = asprintf(&p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_stub\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
  return p;
}
static char *mkchunk(const char *data, int *len) {
  char *p; *len = asprintf(&p, "%zx\r\ndata: %s\n\n\r\n", strlen(data) + 8, data);
  return p;
}
static char *mkevent(const char *data, int *len) { /* Anthropic names its events: the type is the first field */
  char name[32], *p; sscanf(data, "{\"type\":\"%31[a-z_]", name);
  *len = asprintf(&p, "%zx\r\nevent: %s\ndata: %s\n\n\r\n", strlen(name) + strlen(data) + 16, name, data);
  return p;
}
static void build(void) {
  char text[640]; int n = 0;
  while (n < 560) n += sprintf(text + n, "The quick brown fox %d jumps over the lazy dog. ", n);
  char *b;
  if (asprintf(&b, "{\"id\":\"chatcmpl-stub0001\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":57,\"completion_tokens\":128,\"total_tokens\":185,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_stub\"}", text) < 0) exit(1);
  R_JSON = mkresp(b, &L_JSON); free(b);
  if (asprintf(&b, "{\"id\":\"msg_stub0001\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-stub\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":57,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":128,\"service_tier\":\"standard\"}}", text) < 0) exit(1);
  R_ANT = mkresp(b, &L_ANT); free(b);
  R_LIST = mkresp("{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"created\":1760000000,\"owned_by\":\"openai\"}]}", &L_LIST);
  L_HEAD = asprintf(&SSE_HEAD, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
  nev = nchunks + 5;
  for (int w = 0; w < 2; w++) { EVS[w] = calloc(nev, sizeof *EV); L_EVS[w] = calloc(nev, sizeof *L_EV); }
  EV = EVS[1]; L_EV = L_EVS[1];
  EV[0] = mkevent("{\"type\":\"message_start\",\"message\":{\"id\":\"msg_stub0001\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-stub\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":57,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":1,\"service_tier\":\"standard\"}}}", &L_EV[0]);
  EV[1] = mkevent("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}", &L_EV[1]);
  for (int i = 1; i <= nchunks; i++) {
    if (asprintf(&b, "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" token%d\"}}", i) < 0) exit(1);
    EV[i + 1] = mkevent(b, &L_EV[i + 1]); free(b);
  }
  EV[nchunks + 2] = mkevent("{\"type\":\"content_block_stop\",\"index\":0}", &L_EV[nchunks + 2]);
  EV[nchunks + 3] = mkevent("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":50}}", &L_EV[nchunks + 3]);
  EV[nchunks + 4] = mkevent("{\"type\":\"message_stop\"}", &L_EV[nchunks + 4]);
  EV = EVS[0]; L_EV = L_EVS[0];
#define PRE "{\"id\":\"chatcmpl-stub0001\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_stub\",\"choices\":"
  EV[0] = mkchunk(PRE "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}", &L_EV[0]);
  for (int i = 1; i <= nchunks; i++) {
    if (asprintf(&b, PRE "[{\"index\":0,\"delta\":{\"content\":\" token%d\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}", i) < 0) exit(1);
    EV[i] = mkchunk(b, &L_EV[i]); free(b);
  }
  EV[nchunks + 1] = mkchunk(PRE "[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}", &L_EV[nchunks + 1]);
  EV[nchunks + 2] = mkchunk(PRE "[],\"usage\":{\"prompt_tokens\":57,\"completion_tokens\":50,\"total_tokens\":107,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}}}", &L_EV[nchunks + 2]);
  EV[nchunks + 3] = mkchunk("[DONE]", &L_EV[nchunks + 3]);
}
static void qpush(Fifo *f, Tmr t) {
  if (f->tail - f->head == f->cap) {
    int nc = f->cap ? f->cap * 2 : 1024; Tmr *q = malloc(nc * sizeof *q);
    for (int i = f->head; i < f->tail; i++) q[i - f->head] = f->q[i % f->cap];
    free(f->q); f->q = q; f->tail -= f->head; f->head = 0; f->cap = nc;
  }
  f->q[f->tail++ % f->cap] = t;
}
static void arm(double ms, int fd, uint32_t gen) {
  int i = 0; while (i < nq && qd[i] != ms) i++;
  if (i == nq) { if (nq == 64) i = 63; else qd[nq++] = ms; }
  qpush(&qs[i], (Tmr){now_ns() + (int64_t)(ms * 1e6), fd, gen});
}
static void cclose(int fd) {
  Conn *c = &conns[fd]; c->gen++; free(c->in); free(c->out); c->in = c->out = NULL; close(fd);
}
static int flush_out(int fd) {
  Conn *c = &conns[fd];
  while (c->outoff < c->outlen) {
    ssize_t w = send(fd, c->out + c->outoff, c->outlen - c->outoff, MSG_NOSIGNAL);
    if (w < 0) { if (errno == EAGAIN) return 0; cclose(fd); return -1; }
    c->outoff += w;
  }
  c->outlen = c->outoff = 0;
  struct epoll_event e = {.events = EPOLLIN, .data.fd = fd}; epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
  return 0;
}
static int put(int fd, const char *b, int n) {
  Conn *c = &conns[fd];
  if (!c->outlen) {
    ssize_t w = send(fd, b, n, MSG_NOSIGNAL);
    if (w == n) return 0;
    if (w < 0) { if (errno != EAGAIN) { cclose(fd); return -1; } w = 0; }
    b += w; n -= w;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.fd = fd}; epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
  }
  c->out = realloc(c->out, c->outlen + n); memcpy(c->out + c->outlen, b, n); c->outlen += n;
  return 0;
}
static int process(int fd);
static int finish(int fd) {
  Conn *c = &conns[fd]; c->busy = 0;
  if (c->close_after) { cclose(fd); return -1; }
  return c->inlen ? process(fd) : 0;
}
static int advance(int fd) { /* emit the next piece of a reply */
  Conn *c = &conns[fd];
  if (!c->stream) {
    if (put(fd, c->chunk == -1 ? R_LIST : c->chunk == -2 ? R_ANT : R_JSON, c->chunk == -1 ? L_LIST : c->chunk == -2 ? L_ANT : L_JSON) < 0) return -1;
    return finish(fd);
  }
  char **EV = EVS[c->wire]; int *L_EV = L_EVS[c->wire], nev = nchunks + (c->wire ? 5 : 4);
  if (c->chunk == 0) {
    char b[2048]; memcpy(b, SSE_HEAD, L_HEAD); memcpy(b + L_HEAD, EV[0], L_EV[0]);
    if (put(fd, b, L_HEAD + L_EV[0]) < 0) return -1;
    c->chunk = 1;
  }
  while (c->chunk < nev) {
    if (c->cdelay > 0 && c->chunk <= nchunks) {
      if (c->busy == 2) c->busy = 1; else { c->busy = 2; arm(c->cdelay, fd, c->gen); return 0; }
    }
    int i = c->chunk++;
    if (put(fd, EV[i], L_EV[i]) < 0) return -1;
  }
  if (put(fd, "0\r\n\r\n", 5) < 0) return -1;
  return finish(fd);
}
static int process(int fd) {
  Conn *c = &conns[fd];
  while (!c->busy && c->inlen) {
    c->in[c->inlen] = 0;
    char *eoh = memmem(c->in, c->inlen, "\r\n\r\n", 4); if (!eoh) return 0;
    int hl = eoh - c->in + 4, bl = 0, total = hl; char *body = eoh + 4; c->close_after = 0; int chunked = 0;
    for (char *p = c->in; p < eoh; p = memmem(p, eoh + 2 - p, "\r\n", 2) + 2) {
      if (!strncasecmp(p, "content-length:", 15)) bl = atoi(p + 15);
      else if (!strncasecmp(p, "transfer-encoding:", 18)) chunked = 1;
      else if (!strncasecmp(p, "connection: close", 17)) c->close_after = 1;
    }
    if (chunked) { /* only locate the end */
      char *p = body; int done = 0;
      while (1) {
        char *nl_ = memmem(p, c->in + c->inlen - p, "\r\n", 2); if (!nl_) return 0;
        long n = strtol(p, NULL, 16); p = nl_ + 2 + n + 2; if (p > c->in + c->inlen) return 0;
        if (!n) { done = 1; break; }
      }
      if (!done) return 0;
      total = p - c->in; bl = total - hl;
    } else { total = hl + bl; if (c->inlen < total) return 0; }
    c->stream = 0; c->chunk = 0;
    if (c->in[0] == 'G' || c->in[0] == 'H') c->chunk = -1;
    else {
      char *s = memmem(body, bl, "\"stream\":", 9);
      if (s) { s += 9; while (*s == ' ') s++; c->stream = !strncmp(s, "true", 4); }
      c->wire = memmem(c->in, 64 < hl ? 64 : hl, "/messages", 9) != NULL;
      if (!c->stream && c->wire) c->chunk = -2;
    }
    c->delay = lst[c->lidx].delay; c->cdelay = lst[c->lidx].cdelay;
    char *mk = memmem(body, bl, "[[stub:", 7); if (mk) sscanf(mk + 7, "%lf:%lf", &c->delay, &c->cdelay);
    memmove(c->in, c->in + total, c->inlen - total); c->inlen -= total;
    c->busy = 1;
    if (c->delay > 0) arm(c->delay, fd, c->gen);
    else return advance(fd);
  }
  return 0;
}
int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN); prctl(PR_SET_TIMERSLACK, 1000);
  if (getenv("STUB_CHUNKS")) nchunks = atoi(getenv("STUB_CHUNKS"));
  build(); ep = epoll_create1(0);
  for (int i = 1; i < argc && nl < 16; i++) {
    int port = 0; Lst l = {0}; sscanf(argv[i], "%d:%lf:%lf", &port, &l.delay, &l.cdelay);
    l.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); int one = 1;
    setsockopt(l.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(l.fd, (void *)&a, sizeof a) || listen(l.fd, 1024)) { perror("bind"); return 1; }
    struct epoll_event e = {.events = EPOLLIN, .data.fd = l.fd}; epoll_ctl(ep, EPOLL_CTL_ADD, l.fd, &e); lst[nl++] = l;
  }
  if (!nl) { fprintf(stderr, "usage: upstream PORT[:DELAY_MS[:CHUNK_DELAY_MS]]...\n"); return 2; }
  struct epoll_event ev[256];
  for (;;) {
    int64_t nxt = -1, t = now_ns();
    for (int i = 0; i < nq; i++) if (qs[i].head != qs[i].tail) { int64_t a = qs[i].q[qs[i].head % qs[i].cap].at; if (nxt < 0 || a < nxt) nxt = a; }
    struct timespec ts, *tp = NULL;
    if (nxt >= 0) { int64_t d = nxt > t ? nxt - t : 0; ts.tv_sec = d / 1000000000; ts.tv_nsec = d % 1000000000; tp = &ts; }
    int n = epoll_pwait2(ep, ev, 256, tp, NULL);
    for (int i = 0; i < n; i++) {
      int fd = ev[i].data.fd, li = -1;
      for (int k = 0; k < nl; k++) if (lst[k].fd == fd) li = k;
      if (li >= 0) {
        int c; while ((c = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          if (c >= MAXFD) { close(c); continue; }
          int one = 1; setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          uint32_t g = conns[c].gen + 1; conns[c] = (Conn){.lidx = li, .gen = g, .in = malloc(INBUF + 1)};
          struct epoll_event e = {.events = EPOLLIN, .data.fd = c}; epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
        }
        continue;
      }
      Conn *c = &conns[fd]; if (!c->in) continue;
      if (ev[i].events & EPOLLOUT) { if (flush_out(fd) < 0) continue; }
      if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        if (c->inlen >= INBUF) { cclose(fd); continue; }
        ssize_t r = recv(fd, c->in + c->inlen, INBUF - c->inlen, 0);
        if (r == 0 || (r < 0 && errno != EAGAIN)) { cclose(fd); continue; }
        if (r > 0) { c->inlen += r; process(fd); }
      }
    }
    t = now_ns();
    for (int i = 0; i < nq; i++) while (qs[i].head != qs[i].tail && qs[i].q[qs[i].head % qs[i].cap].at <= t) {
      Tmr m = qs[i].q[qs[i].head++ % qs[i].cap];
      if (conns[m.fd].gen == m.gen && conns[m.fd].in) advance(m.fd);
    }
  }
}
