// The floor: the least that an honest HTTP/1.1 keep-alive proxy can do, so that figures have something to be
// held to.
//
// floor PORT IP:PORT...
// One thread, edge-triggered epoll. Drops Connection, adds X-Forwarded-For, Content-Length bodies only, GET
// only. It has no time limits, no routing, no checks and no defence, and is no part of Bascule.
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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#define MAXFD 65536
enum { LISTEN, CLIENT, UP };
struct conn {
    int fd;
    uint8_t kind, close_, inhead, connecting, be;
    struct conn *peer, *next;
    int64_t left;
    char *in;
    int inlen;
    char *out;
    size_t outoff, outlen, outcap;
};
static struct conn *C[MAXFD], *pool[16];
static struct sockaddr_in up[16];
static int nup, rr, ep, one = 1;
static char rb[65536], ob[65536 + 1024];
static struct conn *reg(int fd, int kind) {
    struct conn *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->kind = kind;
    C[fd] = c;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (kind == LISTEN) ev.events = EPOLLIN;
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    return c;
}
static void kill_(struct conn *c) {
    if (c->kind == UP && !c->peer)
        for (struct conn **p = &pool[c->be]; *p; p = &(*p)->next)
            if (*p == c) {
                *p = c->next;
                break;
            }
    struct conn *o = c->peer;
    C[c->fd] = 0;
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
    if (o) {
        o->peer = 0;
        kill_(o);
    }
}
// send or queue; -1 dead
static int put(struct conn *c, const char *b, size_t n) {
    if (!c->outlen && !c->connecting) {
        ssize_t w = send(c->fd, b, n, MSG_NOSIGNAL);
        if (w == (ssize_t)n) return 0;
        if (w < 0) {
            if (errno != EAGAIN) return -1;
            w = 0;
        }
        b += w;
        n -= w;
    }
    if (c->outoff + c->outlen + n > c->outcap) {
        c->outcap = c->outoff + c->outlen + n + 4096;
        c->out = realloc(c->out, c->outcap);
    }
    memcpy(c->out + c->outoff + c->outlen, b, n);
    c->outlen += n;
    return 0;
}
static void client_read(struct conn *c);
static void up_read(struct conn *u);
static void start(struct conn *c, int hl) { // c->in holds a full head of hl bytes (or rb does)
    char *h = c->in ? c->in : rb, *e = h + hl - 2, *p = memchr(h, '\n', hl) + 1, *o = ob;
    memcpy(o, h, p - h);
    o += p - h;
    c->close_ = 0;
    while (p < e) {
        char *q = memchr(p, '\n', e - p);
        q++;
        size_t n = q - p;
        if ((*p | 32) == 'c' && n > 11 && !strncasecmp(p, "connection:", 11)) {
            if (!strncasecmp(p + 11, " close", 6)) c->close_ = 1;
        } else {
            memcpy(o, p, n);
            o += n;
        }
        p = q;
    }
    memcpy(o, "X-Forwarded-For: 127.0.0.1\r\n\r\n", 30);
    o += 30;
    int i = rr++ % nup;
    struct conn *u = pool[i];
    if (u) {
        pool[i] = u->next;
        u->next = 0;
    } else {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connect(fd, (void *)&up[i], sizeof up[i]);
        u = reg(fd, UP);
        u->be = i;
        u->connecting = 1;
    }
    u->peer = c;
    c->peer = u;
    u->inhead = 1;
    if (put(u, ob, o - ob) < 0) kill_(c);
}
static void client_read(struct conn *c) {
    if (c->peer) return;
    int have = c->inlen;
    if (have) memcpy(rb, c->in, have);
    for (;;) {
        ssize_t r = recv(c->fd, rb + have, 16384 - have, 0);
        if (r == 0) {
            kill_(c);
            return;
        }
        if (r < 0) {
            if (errno != EAGAIN) {
                kill_(c);
                return;
            }
            if (have) {
                c->in = realloc(c->in, have);
                memcpy(c->in, rb, have);
                c->inlen = have;
            }
            return;
        }
        have += r;
        char *e = memmem(rb, have, "\r\n\r\n", 4);
        if (!e) {
            if (have >= 16384) {
                kill_(c);
                return;
            }
            continue;
        }
        free(c->in);
        c->in = 0;
        c->inlen = 0;
        start(c, e + 4 - rb);
        return;
    }
}
static void finish(struct conn *u) {
    struct conn *c = u->peer;
    u->peer = 0;
    c->peer = 0;
    u->next = pool[u->be];
    pool[u->be] = u;
    if (c->close_ && !c->outlen) kill_(c);
}
static void up_read(struct conn *u) {
    for (;;) {
        struct conn *c = u->peer;
        if (!c) {
            if (recv(u->fd, rb, 1, MSG_PEEK) == 0) kill_(u);
            return;
        }
        if (c->outlen) return; // back-pressure: client EPOLLOUT resumes
        ssize_t r = recv(u->fd, rb, sizeof rb, 0);
        if (r == 0 || (r < 0 && errno != EAGAIN)) {
            kill_(u);
            return;
        }
        if (r < 0) return;
        if (u->inhead) {
            char *e = memmem(rb, r, "\r\n\r\n", 4);
            if (!e) {
                kill_(u);
                return;
            }
            int64_t cl = 0;
            char *p = memchr(rb, '\n', r) + 1;
            while (p < e + 2) {
                char *q = (char *)memchr(p, '\n', e + 2 - p) + 1;
                if ((*p | 32) == 'c' && !strncasecmp(p, "content-length:", 15)) cl = atoll(p + 15);
                p = q;
            }
            u->left = cl + (e + 4 - rb);
            u->inhead = 0;
            if (c->close_) {
                int hl = e + 2 - rb;
                memcpy(ob, rb, hl);
                memcpy(ob + hl, "Connection: close\r\n", 19);
                memcpy(ob + hl + 19, rb + hl, r - hl);
                u->left -= r;
                if (put(c, ob, r + 19) < 0) {
                    kill_(u);
                    return;
                }
                if (u->left <= 0) {
                    finish(u);
                    return;
                }
                continue;
            }
        }
        u->left -= r;
        if (put(c, rb, r) < 0) {
            kill_(u);
            return;
        }
        if (u->left <= 0) {
            finish(u);
            return;
        }
        if (r < (ssize_t)sizeof rb) return;
    }
}
static void flush_(struct conn *c) {
    while (c->outlen) {
        ssize_t w = send(c->fd, c->out + c->outoff, c->outlen, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno != EAGAIN) kill_(c);
            return;
        }
        c->outoff += w;
        c->outlen -= w;
    }
    c->outoff = 0;
    if (c->kind == CLIENT) {
        if (c->peer) up_read(c->peer);
        else if (c->close_)
            kill_(c);
    }
}
int main(int ac, char **av) {
    signal(SIGPIPE, SIG_IGN);
    ep = epoll_create1(0);
    for (int i = 2; i < ac; i++) {
        char *s = strdup(av[i]), *p = strchr(s, ':');
        *p = 0;
        up[nup].sin_family = AF_INET;
        up[nup].sin_port = htons(atoi(p + 1));
        inet_pton(AF_INET, s, &up[nup++].sin_addr);
    }
    int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(av[1]))};
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) {
        perror("bind");
        return 1;
    }
    reg(l, LISTEN);
    struct epoll_event evs[256];
    for (;;) {
        int n = epoll_wait(ep, evs, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = evs[i].data.fd;
            uint32_t e = evs[i].events;
            struct conn *c = C[fd];
            if (!c) continue;
            if (c->kind == LISTEN) {
                for (;;) {
                    int k = accept4(l, 0, 0, SOCK_NONBLOCK);
                    if (k < 0) break;
                    setsockopt(k, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    reg(k, CLIENT);
                }
                continue;
            }
            if (e & (EPOLLERR | EPOLLHUP)) {
                kill_(c);
                continue;
            }
            if ((e & EPOLLOUT) && (c->outlen || c->connecting)) {
                c->connecting = 0;
                flush_(c);
                if (C[fd] != c) continue;
            }
            if (e & (EPOLLIN | EPOLLRDHUP)) {
                if (c->kind == CLIENT) {
                    if (c->peer) {
                        if (e & EPOLLRDHUP) kill_(c);
                    } else
                        client_read(c);
                } else
                    up_read(c);
            }
        }
    }
}
