/*
 * The system calls that the loads cannot do without, and nothing else: what the gateway is compared with.
 * Compiled when the benchmark runs. Each command prints "OPERATIONS NANOSECONDS".
 *
 *   bare put DIR SECONDS SIZE THREADS SYNC   new files in an empty DIR: temp file, write, attribute, [fsync], rename, [fsync of the directory]
 *   bare list DIR SECONDS DEEP               getdents, sort, lstat and attribute of each, XML; DEEP 1: descends
 *   bare pages DIR SECONDS THREADS           the same, by threads at once
 *   bare heads DIR SECONDS THREADS COUNT     open, fstat and attribute of k0 … k(COUNT - 1) in turn, by threads at once
 *   bare names DIR SECONDS                   getdents to the end
 *   bare make DIR COUNT PER                  COUNT empty files: PER in each directory, 0: all in one
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { attribute = 300 };

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

/* ---- put ---- */

static int where, sync_level, threads;
static size_t size;
static int64_t until;
static char *content;

/* Runs it in so many threads; answers the sum of what they return. */
static long at_once(void *(*some)(void *)) {
  pthread_t ids[256];
  long sum = 0;
  if (threads < 1 || threads > 256) exit(2);
  for (long i = 0; i < threads; i++) pthread_create(&ids[i], 0, some, (void *)i);
  for (int i = 0; i < threads; i++) {
    void *done;
    pthread_join(ids[i], &done);
    sum += (long)done;
  }
  return sum;
}

static void *put_some(void *argument) {
  long thread = (long)argument, done = 0;
  char value[attribute];
  memset(value, 'a', sizeof value);
  while (now() < until) {
    char temp[64], name[64];
    snprintf(temp, sizeof temp, ".temp-%ld", thread);
    snprintf(name, sizeof name, "k%ld-%ld", thread, done);
    int fd = openat(where, temp, O_RDWR | O_CREAT | O_EXCL, 0644);
    if (fd < 0) fail("open");
    for (size_t at = 0; at < size;) {
      ssize_t wrote = write(fd, content + at, size - at);
      if (wrote < 0) fail("write");
      at += (size_t)wrote;
    }
    if (fsetxattr(fd, "user.bare", value, sizeof value, 0) != 0 && errno != ENOTSUP) fail("fsetxattr");
    if (sync_level && fsync(fd) != 0) fail("fsync");
    if (renameat(where, temp, where, name) != 0) fail("rename");
    if (sync_level && fsync(where) != 0) fail("fsync of the directory");
    close(fd);
    done++;
  }
  return (void *)done;
}

static long put(char **args) {
  where = open(args[0], O_RDONLY | O_DIRECTORY);
  if (where < 0) fail(args[0]);
  size = strtoul(args[2], 0, 10);
  threads = atoi(args[3]);
  sync_level = atoi(args[4]);
  content = malloc(size);
  memset(content, 'x', size);
  until = now() + (int64_t)(atof(args[1]) * 1e9);
  return at_once(put_some);
}

/* ---- list ---- */

struct entry {
  unsigned long ino;
  long off;
  unsigned short length;
  unsigned char type;
  char name[];
};

struct names {
  char **all;
  size_t count, room;
};

static __thread char *xml;
static __thread size_t xml_at, xml_room;

/* Every name but . and .. ; with a slash behind directories, as S3 sorts them. */
static void read_names(int fd, struct names *to) {
  static __thread char buffer[1 << 20];
  long got;
  while ((got = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < got;) {
      struct entry *entry = (struct entry *)(buffer + at);
      at += entry->length;
      if (entry->name[0] == '.') continue;
      if (!to) continue;
      if (to->count == to->room) to->all = realloc(to->all, (to->room = to->room * 2 + 1024) * sizeof(char *));
      size_t length = strlen(entry->name);
      char *name = malloc(length + 2);
      memcpy(name, entry->name, length);
      if (entry->type == DT_DIR) name[length++] = '/';
      name[length] = 0;
      to->all[to->count++] = name;
    }
  }
  if (got < 0) fail("getdents64");
}

static int in_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path, int deep) {
  int fd = open(path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) fail(path);
  struct names names = {0};
  read_names(fd, &names);
  close(fd);
  qsort(names.all, names.count, sizeof(char *), in_order);
  for (size_t i = 0; i < names.count; i++) {
    char full[4096], value[4096];
    if (xml_room - xml_at < 8192) xml = realloc(xml, xml_room = xml_room * 2 + 16384);
    int length = snprintf(full, sizeof full, "%s/%s", path, names.all[i]);
    if (full[length - 1] == '/') {
      full[length - 1] = 0;
      if (deep) list(full, deep);
      else
        xml_at += (size_t)snprintf(xml + xml_at, xml_room - xml_at, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", names.all[i]);
    } else {
      struct stat stat;
      struct tm tm;
      char date[32];
      if (lstat(full, &stat) != 0) fail(full);
      ssize_t got = lgetxattr(full, "user.tidegate", value, sizeof value);
      gmtime_r(&stat.st_mtime, &tm);
      strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
      xml_at += (size_t)snprintf(
          xml + xml_at, xml_room - xml_at,
          "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;%032lx&quot;</ETag><Size>%ld</Size>"
          "<StorageClass>STANDARD</StorageClass></Contents>",
          full, date, (unsigned long)(got > 8 ? *(uint64_t *)value : 0), (long)stat.st_size);
    }
    free(names.all[i]);
  }
  free(names.all);
}

/* ---- list and head, by threads ---- */

static const char *directory;
static long keys;

static void *list_some(void *argument) {
  (void)argument;
  long done = 0;
  for (; now() < until; done++) {
    xml_at = 0;
    list(directory, 0);
  }
  return (void *)done;
}

static void *head_some(void *argument) {
  long done = 0;
  /* Each begins elsewhere. */
  for (long at = (long)argument * 7; now() < until; at++, done++) {
    char name[64], value[4096];
    struct stat stat;
    snprintf(name, sizeof name, "k%ld", at % keys);
    int bucket = open(directory, O_PATH | O_DIRECTORY);
    if (bucket < 0) fail(directory);
    int fd = openat(bucket, name, O_RDONLY | O_NOFOLLOW);
    if (fd < 0) fail(name);
    if (fstat(fd, &stat) != 0) fail("fstat");
    if (fgetxattr(fd, "user.tidegate", value, sizeof value) < 0) fail("fgetxattr");
    close(fd);
    close(bucket);
  }
  return (void *)done;
}

static long read_at_once(char **args, void *(*some)(void *)) {
  directory = args[0];
  if (some == list_some) {
    if (chdir(directory) != 0) fail(directory);
    directory = ".";
  }
  threads = atoi(args[2]);
  until = now() + (int64_t)(atof(args[1]) * 1e9);
  return at_once(some);
}

/* ---- make ---- */

static void make(char **args) {
  long count = atol(args[1]), per = atol(args[2]);
  char path[4096];
  for (long i = 0; i < count; i++) {
    /* Names that do not come in the order of their making. */
    uint32_t mixed = (uint32_t)i * 0x9e3779b1u;
    if (per == 0) snprintf(path, sizeof path, "%s/f%08x-%ld", args[0], mixed, i);
    else {
      if (i % per == 0) {
        snprintf(path, sizeof path, "%s/d%05ld", args[0], i / per);
        if (mkdir(path, 0755) != 0) fail(path);
      }
      snprintf(path, sizeof path, "%s/d%05ld/f%08x", args[0], i / per, mixed);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) fail(path);
    close(fd);
  }
}

int main(int count, char **args) {
  const char *command = count > 3 ? args[1] : "";
  int64_t from = now();
  long done = 0;
  if (!strcmp(command, "put") && count == 7) done = put(args + 2);
  else if (!strcmp(command, "list") && count == 5) {
    for (int64_t end = from + (int64_t)(atof(args[3]) * 1e9); done == 0 || now() < end; done++) {
      xml_at = 0;
      list(args[2], atoi(args[4]));
    }
  } else if (!strcmp(command, "pages") && count == 5) done = read_at_once(args + 2, list_some);
  else if (!strcmp(command, "heads") && count == 6) {
    keys = atol(args[5]);
    done = read_at_once(args + 2, head_some);
  } else if (!strcmp(command, "names") && count == 4) {
    for (int64_t end = from + (int64_t)(atof(args[3]) * 1e9); done == 0 || now() < end; done++) {
      int fd = open(args[2], O_RDONLY | O_DIRECTORY);
      if (fd < 0) fail(args[2]);
      read_names(fd, 0);
      close(fd);
    }
  } else if (!strcmp(command, "make") && count == 5) {
    make(args + 2);
    done = atol(args[3]);
  } else {
    fprintf(stderr, "bare: unknown command\n");
    return 2;
  }
  printf("%ld %ld\n", done, (long)(now() - from));
  return 0;
}
