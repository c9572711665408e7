/* Tests of quic/recv_state.h. */
#include "quic/recv_state.h"

#include "tests/unit/harness.h"

static bool is_from_peer(int event)
{
    return event == MR_RECV_ON_DATA || event == MR_RECV_ON_FIN || event == MR_RECV_ON_RESET;
}

static void the_peers_events_are_allowed_in_every_state(void)
{
    for (int s = 0; s < MR_RECV_STATES; s++)
        for (int e = 0; e < MR_RECV_EVENTS; e++)
            if (is_from_peer(e))
                CU_ASSERT(mr_recv_state_allows((enum mr_recv_state)s, (enum mr_recv_event)e));
}

static void our_own_events_happen_in_one_state_each(void)
{
    static const enum mr_recv_state where[MR_RECV_EVENTS] = {
        [MR_RECV_ON_ALL_DATA] = MR_RECV_SIZE_KNOWN,
        [MR_RECV_ON_DATA_READ] = MR_RECV_DATA_RECVD,
        [MR_RECV_ON_RESET_READ] = MR_RECV_RESET_RECVD,
    };

    for (int s = 0; s < MR_RECV_STATES; s++)
        for (int e = 0; e < MR_RECV_EVENTS; e++)
            if (!is_from_peer(e))
                CU_ASSERT_EQUAL(mr_recv_state_allows((enum mr_recv_state)s, (enum mr_recv_event)e),
                                (enum mr_recv_state)s == where[e]);
}

static void a_final_state_is_never_left(void)
{
    for (int s = 0; s < MR_RECV_STATES; s++)
        for (int e = 0; e < MR_RECV_EVENTS; e++) {
            enum mr_recv_state from = (enum mr_recv_state)s;
            if (!mr_recv_state_is_final(from) || !mr_recv_state_allows(from, (enum mr_recv_event)e))
                continue;
            CU_ASSERT_EQUAL(mr_recv_state_next(from, (enum mr_recv_event)e), from);
        }
}

/* What arrives late finds the stream as it is. */
static void only_these_changes_exist(void)
{
    static const struct {
        enum mr_recv_state from;
        enum mr_recv_event event;
        enum mr_recv_state to;
    } changes[] = {
        {MR_RECV_RECV, MR_RECV_ON_FIN, MR_RECV_SIZE_KNOWN},
        {MR_RECV_RECV, MR_RECV_ON_RESET, MR_RECV_RESET_RECVD},
        {MR_RECV_SIZE_KNOWN, MR_RECV_ON_RESET, MR_RECV_RESET_RECVD},
        {MR_RECV_SIZE_KNOWN, MR_RECV_ON_ALL_DATA, MR_RECV_DATA_RECVD},
        {MR_RECV_DATA_RECVD, MR_RECV_ON_DATA_READ, MR_RECV_DATA_READ},
        {MR_RECV_RESET_RECVD, MR_RECV_ON_RESET_READ, MR_RECV_RESET_READ},
    };
    unsigned found = 0;

    for (int s = 0; s < MR_RECV_STATES; s++)
        for (int e = 0; e < MR_RECV_EVENTS; e++) {
            enum mr_recv_state from = (enum mr_recv_state)s;
            enum mr_recv_event event = (enum mr_recv_event)e;
            enum mr_recv_state expected = from;

            if (!mr_recv_state_allows(from, event))
                continue;
            for (unsigned i = 0; i < MR_COUNT_OF(changes); i++)
                if (changes[i].from == from && changes[i].event == event) {
                    expected = changes[i].to;
                    found++;
                }
            CU_ASSERT_EQUAL(mr_recv_state_next(from, event), expected);
        }
    CU_ASSERT_EQUAL(found, MR_COUNT_OF(changes));
}

static void credit_and_stop_are_for_streams_that_still_receive(void)
{
    for (int s = 0; s < MR_RECV_STATES; s++) {
        enum mr_recv_state state = (enum mr_recv_state)s;

        CU_ASSERT_EQUAL(mr_recv_state_wants_credit(state), state == MR_RECV_RECV);
        CU_ASSERT_EQUAL(mr_recv_state_wants_stop(state),
                        state == MR_RECV_RECV || state == MR_RECV_SIZE_KNOWN);
    }
}

static CU_TestInfo tests[] = {
    {"the peer's events are allowed in every state", the_peers_events_are_allowed_in_every_state},
    {"our own events happen in one state each", our_own_events_happen_in_one_state_each},
    {"a final state is never left", a_final_state_is_never_left},
    {"only these changes exist", only_these_changes_exist},
    {"credit and stop are for streams that still receive",
     credit_and_stop_are_for_streams_that_still_receive},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/recv_state", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
