/*
 * A load generator for HEAD, which wrk does not know: it would wait for the body. Sends the requests of a file in turn, each behind
 * a line with its length, over several connections, one after the other on each. Compiled when the benchmark runs.
 *
 *   heads ADDRESS PORT FILE CONNECTIONS SECONDS      prints "OPERATIONS NANOSECONDS"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "broken");
  exit(1);
}

struct call {
  char *bytes;
  size_t length;
};
static struct call *calls;
static size_t count, at;

static void read_calls(const char *path) {
  FILE *file = fopen(path, "rb");
  size_t length;
  if (!file) fail(path);
  while (fscanf(file, "%zu", &length) == 1) {
    fgetc(file);
    calls = realloc(calls, (count + 1) * sizeof *calls);
    calls[count].bytes = malloc(length);
    calls[count].length = length;
    if (fread(calls[count].bytes, 1, length, file) != length) fail(path);
    count++;
  }
  fclose(file);
  if (count == 0) fail("no calls");
}

enum { room = 16384 };
struct connection {
  int fd;
  size_t got;
  char reply[room];
};

static void ask(struct connection *connection) {
  struct call *call = &calls[at++ % count];
  connection->got = 0;
  if (send(connection->fd, call->bytes, call->length, MSG_NOSIGNAL) != (ssize_t)call->length) fail("send");
}

/* Takes what has come: whether that is all of a reply. */
static int take(struct connection *connection) {
  ssize_t got = recv(connection->fd, connection->reply + connection->got, room - connection->got, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return 0;
  errno = got == 0 ? 0 : errno;
  if (got <= 0) fail("a connection");
  size_t from = connection->got > 3 ? connection->got - 3 : 0;
  connection->got += (size_t)got;
  char *end = memmem(connection->reply + from, connection->got - from, "\r\n\r\n", 4);
  if (!end) {
    if (connection->got == room) fail("a head that does not end");
    return 0;
  }
  if (end + 4 != connection->reply + connection->got) fail("a reply to a HEAD with a body");
  if (connection->reply[9] != '2') {
    fprintf(stderr, "%.*s", (int)connection->got, connection->reply);
    exit(1);
  }
  return 1;
}

int main(int argc, char **args) {
  if (argc != 6) return 2;
  read_calls(args[3]);
  int many = atoi(args[4]), loop = epoll_create1(0), on = 1;
  struct connection *all = calloc((size_t)many, sizeof *all);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(args[2]))};
  if (inet_pton(AF_INET, args[1], &to.sin_addr) != 1) fail(args[1]);
  for (int i = 0; i < many; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
    all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(all[i].fd, (struct sockaddr *)&to, sizeof to) != 0) fail("connect");
    setsockopt(all[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_ctl(loop, EPOLL_CTL_ADD, all[i].fd, &event);
  }
  int64_t from = now(), until = from + (int64_t)(atof(args[5]) * 1e9);
  long done = 0;
  for (int i = 0; i < many; i++) ask(&all[i]);
  for (int asked = many; asked > 0;) {
    struct epoll_event events[256];
    int ready = epoll_wait(loop, events, 256, 30000);
    if (ready <= 0 && errno != EINTR) fail("no reply for 30 seconds");
    int over = now() >= until;
    for (int i = 0; i < ready; i++) {
      struct connection *connection = events[i].data.ptr;
      if (!take(connection)) continue;
      done++;
      if (over) asked--;
      else ask(connection);
    }
  }
  printf("%ld %ld\n", done, (long)(now() - from));
  return 0;
}
