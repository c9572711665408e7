/*
 * tests/sim/sim_feature.h - every feature of the engine in every kind of bad network.
 *
 *     feature x network x seed -> a world in which it must happen -> count that proves it
 *
 * A run is right if everything arrived once, in order and unchanged, both sides closed as they
 * should and nothing leaked.  A feature has passed in a network if all runs are right, and both
 * what the feature does and what the network does were seen in as many of them as the tables say.
 *
 * Threads: the caller's.
 */
#ifndef MR_TESTS_SIM_FEATURE_H
#define MR_TESTS_SIM_FEATURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct sim_feature_options {
    const char *feature; /* name; "all" */
    const char *network; /* name; NULL: all */
    uint64_t from;       /* first seed */
    uint64_t seeds;
    bool is_verbose; /* tell of every run */
};

/* Run and print TAP, and a table at the end.  How many pairs of feature and network failed; -1: a
 * name is none. */
int sim_features_run(const struct sim_feature_options *options);

/* Their names, and the networks'. */
void sim_features_list(FILE *to);

#endif /* MR_TESTS_SIM_FEATURE_H */
