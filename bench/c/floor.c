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

#define MOST_FILES 65536
enum { LISTEN, CLIENT_SIDE, ENDPOINT_SIDE };
struct connection {
    int fd;
    uint8_t kind, closes, awaits_head, connecting, endpoint;
    struct connection *other_side, *next;
    int64_t left;
    char *unparsed;
    int unparsed_length;
    char *unsent;
    size_t unsent_from, unsent_length, unsent_room;
};
static struct connection *connections[MOST_FILES], *idle[16];
static struct sockaddr_in addresses[16];
static int endpoints, turn, poll_fd, on = 1;
static char received[65536], composed[65536 + 1024];

static struct connection *watch(int fd, int kind) {
    struct connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->kind = kind;
    connections[fd] = c;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (kind == LISTEN) ev.events = EPOLLIN;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &ev);
    return c;
}

static void drop(struct connection *c) {
    if (c->kind == ENDPOINT_SIDE && !c->other_side)
        for (struct connection **p = &idle[c->endpoint]; *p; p = &(*p)->next)
            if (*p == c) {
                *p = c->next;
                break;
            }
    struct connection *o = c->other_side;
    connections[c->fd] = 0;
    close(c->fd);
    free(c->unparsed);
    free(c->unsent);
    free(c);
    if (o) {
        o->other_side = 0;
        drop(o);
    }
}

// Sends what the socket takes and keeps the rest. -1 when the connection is broken.
static int send_or_queue(struct connection *c, const char *b, size_t n) {
    if (!c->unsent_length && !c->connecting) {
        ssize_t w = send(c->fd, b, n, MSG_NOSIGNAL);
        if (w == (ssize_t)n) return 0;
        if (w < 0) {
            if (errno != EAGAIN) return -1;
            w = 0;
        }
        b += w;
        n -= w;
    }
    if (c->unsent_from + c->unsent_length + n > c->unsent_room) {
        c->unsent_room = c->unsent_from + c->unsent_length + n + 4096;
        c->unsent = realloc(c->unsent, c->unsent_room);
    }
    memcpy(c->unsent + c->unsent_from + c->unsent_length, b, n);
    c->unsent_length += n;
    return 0;
}
static void read_client(struct connection *c);
static void read_endpoint(struct connection *u);

// The head, of `hl` bytes, is in c->unparsed or else in `received`.
static void forward(struct connection *c, int hl) {
    char *h = c->unparsed ? c->unparsed : received, *e = h + hl - 2, *p = memchr(h, '\n', hl) + 1,
         *o = composed;
    memcpy(o, h, p - h);
    o += p - h;
    c->closes = 0;
    while (p < e) {
        char *q = memchr(p, '\n', e - p);
        q++;
        size_t n = q - p;
        if ((*p | 32) == 'c' && n > 11 && !strncasecmp(p, "connection:", 11)) {
            if (!strncasecmp(p + 11, " close", 6)) c->closes = 1;
        } else {
            memcpy(o, p, n);
            o += n;
        }
        p = q;
    }
    memcpy(o, "X-Forwarded-For: 127.0.0.1\r\n\r\n", 30);
    o += 30;
    int i = turn++ % endpoints;
    struct connection *u = idle[i];
    if (u) {
        idle[i] = u->next;
        u->next = 0;
    } else {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connect(fd, (void *)&addresses[i], sizeof addresses[i]);
        u = watch(fd, ENDPOINT_SIDE);
        u->endpoint = i;
        u->connecting = 1;
    }
    u->other_side = c;
    c->other_side = u;
    u->awaits_head = 1;
    if (send_or_queue(u, composed, o - composed) < 0) drop(c);
}

static void read_client(struct connection *c) {
    if (c->other_side) return;
    int have = c->unparsed_length;
    if (have) memcpy(received, c->unparsed, have);
    for (;;) {
        ssize_t r = recv(c->fd, received + have, 16384 - have, 0);
        if (r == 0) {
            drop(c);
            return;
        }
        if (r < 0) {
            if (errno != EAGAIN) {
                drop(c);
                return;
            }
            if (have) {
                c->unparsed = realloc(c->unparsed, have);
                memcpy(c->unparsed, received, have);
                c->unparsed_length = have;
            }
            return;
        }
        have += r;
        char *e = memmem(received, have, "\r\n\r\n", 4);
        if (!e) {
            if (have >= 16384) {
                drop(c);
                return;
            }
            continue;
        }
        free(c->unparsed);
        c->unparsed = 0;
        c->unparsed_length = 0;
        forward(c, e + 4 - received);
        return;
    }
}

static void finish(struct connection *u) {
    struct connection *c = u->other_side;
    u->other_side = 0;
    c->other_side = 0;
    u->next = idle[u->endpoint];
    idle[u->endpoint] = u;
    if (c->closes && !c->unsent_length) drop(c);
}

static void read_endpoint(struct connection *u) {
    for (;;) {
        struct connection *c = u->other_side;
        if (!c) {
            if (recv(u->fd, received, 1, MSG_PEEK) == 0) drop(u);
            return;
        }
        if (c->unsent_length) return; // Back-pressure: EPOLLOUT of the client side goes on from here.
        ssize_t r = recv(u->fd, received, sizeof received, 0);
        if (r == 0 || (r < 0 && errno != EAGAIN)) {
            drop(u);
            return;
        }
        if (r < 0) return;
        if (u->awaits_head) {
            char *e = memmem(received, r, "\r\n\r\n", 4);
            if (!e) {
                drop(u);
                return;
            }
            int64_t cl = 0;
            char *p = memchr(received, '\n', r) + 1;
            while (p < e + 2) {
                char *q = (char *)memchr(p, '\n', e + 2 - p) + 1;
                if ((*p | 32) == 'c' && !strncasecmp(p, "content-length:", 15)) cl = atoll(p + 15);
                p = q;
            }
            u->left = cl + (e + 4 - received);
            u->awaits_head = 0;
            if (c->closes) {
                int hl = e + 2 - received;
                memcpy(composed, received, hl);
                memcpy(composed + hl, "Connection: close\r\n", 19);
                memcpy(composed + hl + 19, received + hl, r - hl);
                u->left -= r;
                if (send_or_queue(c, composed, r + 19) < 0) {
                    drop(u);
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
        if (send_or_queue(c, received, r) < 0) {
            drop(u);
            return;
        }
        if (u->left <= 0) {
            finish(u);
            return;
        }
        if (r < (ssize_t)sizeof received) return;
    }
}

static void send_unsent(struct connection *c) {
    while (c->unsent_length) {
        ssize_t w = send(c->fd, c->unsent + c->unsent_from, c->unsent_length, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno != EAGAIN) drop(c);
            return;
        }
        c->unsent_from += w;
        c->unsent_length -= w;
    }
    c->unsent_from = 0;
    if (c->kind == CLIENT_SIDE) {
        if (c->other_side) read_endpoint(c->other_side);
        else if (c->closes)
            drop(c);
    }
}

int main(int ac, char **av) {
    signal(SIGPIPE, SIG_IGN);
    poll_fd = epoll_create1(0);
    for (int i = 2; i < ac; i++) {
        char *s = strdup(av[i]), *p = strchr(s, ':');
        *p = 0;
        addresses[endpoints].sin_family = AF_INET;
        addresses[endpoints].sin_port = htons(atoi(p + 1));
        inet_pton(AF_INET, s, &addresses[endpoints++].sin_addr);
    }
    int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(av[1]))};
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) {
        perror("bind");
        return 1;
    }
    watch(l, LISTEN);
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(poll_fd, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            uint32_t e = events[i].events;
            struct connection *c = connections[fd];
            if (!c) continue;
            if (c->kind == LISTEN) {
                for (;;) {
                    int k = accept4(l, 0, 0, SOCK_NONBLOCK);
                    if (k < 0) break;
                    setsockopt(k, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    watch(k, CLIENT_SIDE);
                }
                continue;
            }
            if (e & (EPOLLERR | EPOLLHUP)) {
                drop(c);
                continue;
            }
            if ((e & EPOLLOUT) && (c->unsent_length || c->connecting)) {
                c->connecting = 0;
                send_unsent(c);
                if (connections[fd] != c) continue;
            }
            if (e & (EPOLLIN | EPOLLRDHUP)) {
                if (c->kind == CLIENT_SIDE) {
                    if (c->other_side) {
                        if (e & EPOLLRDHUP) drop(c);
                    } else
                        read_client(c);
                } else
                    read_endpoint(c);
            }
        }
    }
}
